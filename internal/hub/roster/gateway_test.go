package roster_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
)

func TestPaired(t *testing.T) {
	now := time.Now()
	s := roster.GatewayStatus{Replicas: []roster.Replica{{ID: "one", SealingKey: []byte("1")}, {ID: "two", SealingKey: []byte("2")}}}
	if s.Paired("none", now) {
		t.Error("a replica that there is not has been paired")
	}
	if !s.Paired("one", now) || s.Paired("one", now) {
		t.Error("a replica is paired once")
	}
	if !s.Paired("two", now) || !bytes.Equal(s.PublicKey, []byte("1")) {
		t.Errorf("the gateway's key is not that of its first replica but %q", s.PublicKey)
	}
}

func TestRotated(t *testing.T) {
	rotation := func(from, to string) gatewayapi.Rotation {
		return gatewayapi.Rotation{From: []byte(from), To: []byte(to), Escrow: []byte("escrow of " + to), RecoveryKey: "recovery"}
	}
	s := roster.GatewayStatus{PublicKey: []byte("a")}
	for _, step := range []struct {
		from, to string
		rotated  bool
		key      string
	}{
		{"b", "c", false, "a"}, {"a", "b", true, "b"}, {"a", "b", false, "b"}, {"a", "x", false, "b"}, {"b", "c", true, "c"},
	} {
		if rotated := s.Rotated(rotation(step.from, step.to)); rotated != step.rotated || string(s.PublicKey) != step.key {
			t.Errorf("from %s to %s: %t, the key is %s", step.from, step.to, rotated, s.PublicKey)
		}
	}
	if string(s.Escrow) != "escrow of c" || s.EscrowFor != "recovery" {
		t.Errorf("in escrow for %s: %s", s.EscrowFor, s.Escrow)
	}
	for key, missed := range map[string]int{"a": 2, "b": 1, "c": 0, "x": 0} {
		if got := s.RotationsAfter([]byte(key)); len(got) != missed {
			t.Errorf("whoever has %s has missed %d rotations, not %d", key, missed, len(got))
		}
	}
}

func TestSole(t *testing.T) {
	at := time.Now()
	for _, test := range []struct {
		reason string
		other  roster.Replica
		sole   bool
	}{
		{"one that can connect", roster.Replica{ID: "other", PairedAt: &at}, false},
		{"one that is revoked", roster.Replica{ID: "other", PairedAt: &at, RevokedAt: &at}, true},
		{"one that has not taken its identity", roster.Replica{ID: "other"}, true},
	} {
		s := roster.GatewayStatus{Replicas: []roster.Replica{{ID: "me", PairedAt: &at}, test.other}}
		if got := s.Sole("me"); got != test.sole {
			t.Errorf("beside %s: %t", test.reason, got)
		}
	}
}
