package agent

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// TestRotationIsTheReplicas shows what a replica makes of what a hub says of its keys: only another replica's rotation counts,
// once, and there is no way back.
func TestRotationIsTheReplicas(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := hub.pair(dir, func(token *hubapi.PairingToken) { token.Kept = true }); err != nil {
		t.Fatal(err)
	}
	a := introducer(t, hub, dir)
	id := a.dir.identity()
	old, err := id.sealing()
	if err != nil {
		t.Fatal(err)
	}
	rotation := func(from, to *seal.PrivateKey) gatewayapi.Rotation {
		r, err := gatewayapi.NewRotation(id.Project, id.Gateway, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if made, err := a.dir.rotate(); err != nil || !made.Vouched {
		t.Errorf("%+v, %v", made, err)
	}
	if _, err := a.dir.rotate(); !errors.Is(err, hubapi.ErrConflict) {
		t.Errorf("a second key before the hub has the first: %v", err)
	}
	next, newest, stranger := privateKey(t), privateKey(t), privateKey(t)
	first, second := rotation(old, next), rotation(next, newest)
	forged := rotation(stranger, newest)
	forged.From = old.PublicKey()
	fork := rotation(old, stranger)
	for _, step := range []struct {
		reason string
		word   gatewayapi.KeysWord
		taken  bool
		key    *seal.PrivateKey
	}{
		{"one that does not follow", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{second}}, true, old},
		{"a forged one", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{forged}}, false, old},
		{"a forged one that comes", gatewayapi.KeysWord{Next: &forged}, false, old},
		{"a forged one behind a good one", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{first, {From: next.PublicKey(), To: stranger.PublicKey(), Sealed: forged.Sealed}}}, false, old},
		{"one that comes", gatewayapi.KeysWord{Next: &first}, true, old},
		{"it again", gatewayapi.KeysWord{Next: &first}, true, old},
		{"two that are done", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{first, second}}, true, newest},
		{"a repeated one", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{first}, Next: &first}, true, newest},
		{"another way from an old key", gatewayapi.KeysWord{Done: []gatewayapi.Rotation{fork}, Next: &fork}, true, newest},
	} {
		answer, err := a.keys(t.Context(), step.word)
		if (err == nil) != step.taken {
			t.Errorf("%s: %v", step.reason, err)
		}
		if err == nil && !bytes.Equal(answer.Key, step.key.PublicKey()) || !bytes.Equal(a.ring.PublicKey(), step.key.PublicKey()) {
			t.Errorf("%s: the key is another one", step.reason)
		}
	}
	opens(t, dir, old, next, newest)
	if answer, err := a.keys(t.Context(), gatewayapi.KeysWord{Key: old.PublicKey()}); err != nil || len(answer.Rotations) != 2 {
		t.Errorf("a hub that has lost the rotations: %+v, %v", answer, err)
	}
	if answer, err := a.keys(t.Context(), gatewayapi.KeysWord{Key: newest.PublicKey()}); err != nil || len(answer.Rotations) != 0 {
		t.Errorf("a hub that knows the key: %+v, %v", answer, err)
	}
}

func privateKey(t *testing.T) *seal.PrivateKey {
	t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// opens shows that a replica opens what is sealed to the keys.
func opens(t *testing.T, dir string, keys ...*seal.PrivateKey) {
	t.Helper()
	public := make([][]byte, len(keys))
	for i, key := range keys {
		public[i] = key.PublicKey()
	}
	opensAll(t, dir, public)
}

func opensAll(t *testing.T, dir string, public [][]byte) {
	t.Helper()
	id, err := readIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := id.ring()
	if err != nil {
		t.Fatal(err)
	}
	binding := seal.Binding{Purpose: seal.PurposePassword, Gateway: id.Gateway}
	for i, key := range public {
		sealed, err := seal.Seal(key, binding, []byte("s3cret"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := ring.Open(binding, sealed); err != nil || string(text) != "s3cret" {
			t.Errorf("replica %s does not open what was sealed to key %d: %v", id.Name, i, err)
		}
	}
}

// TestRotationAtARealHub rotates the key of a gateway with two replicas: while both are there and work, while one of them is
// away, and while the one that does it is stopped. A replica that joins with an older token has all keys, and so has whoever
// makes the gateway anew with the recovery key.
func TestRotationAtARealHub(t *testing.T) {
	organisation := privateKey(t)
	s := newSite(t, hubapi.GatewaySpec{RecoveryKey: base64.StdEncoding.EncodeToString(organisation.PublicKey())})
	dirs := []string{newDir(t), newDir(t), newDir(t)}
	stops := make([]func(), 2)
	for i, dir := range dirs[:2] {
		if _, err := s.pair(dir); err != nil {
			t.Fatal(err)
		}
		stops[i] = s.run(dir)
		s.until("a replica is there", func(g *hubapi.Gateway) bool { return g.Status.State == hubapi.GatewayOnline })
	}
	g := s.until("both are there", online(2))
	keys := [][]byte{publicKey(t, g)}
	since := sessionsOf(t, dirs[:2])
	early, _, err := s.client.Pair(t.Context(), s.gateway.ID, hubapi.PairOptions{
		Kept: true, Introduction: s.token.Introduction, Fingerprint: g.KeyFingerprint(),
	})
	if err != nil {
		t.Fatal(err)
	}
	rotated := func(dir string, running bool) {
		t.Helper()
		made, err := RotateKey(t.Context(), dir)
		if err != nil || !made.Vouched || made.Running != running {
			t.Fatalf("%+v, %v", made, err)
		}
		if !running {
			s.run(dir)
		}
		g := s.until("the hub has the new key", func(g *hubapi.Gateway) bool { return g.KeyFingerprint() == made.To })
		if !g.Status.Voucher.Good(s.token.Introduction, publicKey(t, g)) || !g.Status.Recoverable {
			t.Errorf("the new key is not vouched for, or not in escrow: %+v", g.Status)
		}
		keys = append(keys, publicKey(t, g))
	}
	has := func(dir string) {
		t.Helper()
		waitFor(t, "the replica has the new key", func() bool {
			status, err := ReadStatus(t.Context(), dir, "test")
			return err == nil && status.Public.Coming == "" && status.Public.Fingerprint == seal.Fingerprint(keys[len(keys)-1])
		})
		opensAll(t, dir, keys)
	}
	rotated(dirs[1], true)
	has(dirs[0])
	has(dirs[1])
	if now := sessionsOf(t, dirs[:2]); now != since {
		t.Errorf("the sessions were interrupted: since %s, before %s", now, since)
	}

	stops[0]()
	s.until("one is away", online(1))
	rotated(dirs[1], true)
	s.run(dirs[0])
	has(dirs[0]) // It has missed one.
	has(dirs[1])

	stops[1]()
	s.until("the other one is away", online(1))
	rotated(dirs[1], false)
	has(dirs[0])
	has(dirs[1])

	if _, err := Pair(t.Context(), PairConfig{
		Hub: s.hub.URL, OuterCA: s.hub.CA, Token: early.String(), Name: "late", DataDir: dirs[2], Version: "test",
	}); err != nil {
		t.Fatalf("a token from before the rotations: %v", err)
	}
	opensAll(t, dirs[2], keys)
	s.recover(organisation, keys)
}

// recover makes a gateway anew, and shows that it has its keys.
func (s *site) recover(organisation *seal.PrivateKey, keys [][]byte) {
	s.t.Helper()
	g, err := s.client.Gateway(s.t.Context(), s.gateway.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range g.Status.Replicas {
		if err := s.client.RevokeReplica(s.t.Context(), s.gateway.ID, r.ID); err != nil {
			s.t.Fatal(err)
		}
	}
	token, _, err := s.client.Pair(s.t.Context(), s.gateway.ID, hubapi.PairOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	dir := newDir(s.t)
	if _, err := Pair(s.t.Context(), PairConfig{
		Hub: s.hub.URL, OuterCA: s.hub.CA, Token: token.String(), Name: "again", DataDir: dir, Version: "test", Recovery: organisation,
	}); err != nil {
		s.t.Fatal(err)
	}
	opensAll(s.t, dir, keys)
}

func publicKey(t *testing.T, g *hubapi.Gateway) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(g.Status.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sessionsOf is since when replicas have their sessions.
func sessionsOf(t *testing.T, dirs []string) string {
	t.Helper()
	var since string
	for _, dir := range dirs {
		status, err := ReadStatus(t.Context(), dir, "test")
		if err != nil {
			t.Fatal(err)
		}
		for _, session := range status.Running.Sessions {
			since += session.Since.String() + " "
		}
	}
	return since
}
