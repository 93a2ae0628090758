package roster_test

import (
	"bytes"
	"testing"
	"time"

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
