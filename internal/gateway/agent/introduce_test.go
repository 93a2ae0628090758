package agent

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// introducer is a paired replica that is asked directly, at a time of the test's choice.
func introducer(t *testing.T, hub *fakeHub, dir string) *agent {
	t.Helper()
	d, err := openDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	ring, err := d.identity().ring()
	if err != nil {
		t.Fatal(err)
	}
	return &agent{dir: d, ring: ring, log: slog.New(slog.DiscardHandler), now: time.Now}
}

func TestIntroduce(t *testing.T) {
	hub := newFakeHub(t)
	shared, own := hubapi.NewSecret(), hubapi.NewSecret()
	pair := func(kept bool) *agent {
		dir := newDir(t)
		if _, err := hub.pair(dir, func(token *hubapi.PairingToken) { token.Introduction, token.Kept = shared, kept }); err != nil {
			t.Fatal(err)
		}
		return introducer(t, hub, dir)
	}
	plain, kept := pair(false), pair(true)
	transfer, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		by     *agent
		secret []byte
		change func(a *agent, i *gatewayapi.Introduction)
		later  time.Duration
		shares bool
	}{
		"Together":   {"a token made together with this replica's", plain, shared, nil, 0, true},
		"Sealed":     {"a token made later", plain, own, sealedIntroduction, 0, true},
		"Stranger":   {"an introduction that nobody knows", plain, own, nil, 0, false},
		"OtherKey":   {"a transfer key that was not invited", plain, shared, func(_ *agent, i *gatewayapi.Introduction) { i.TransferKey = plainKey(t) }, 0, false},
		"OtherToken": {"an invitation of another pairing", plain, shared, func(_ *agent, i *gatewayapi.Introduction) { i.PairingID = uuid.NewString() }, 0, false},
		"NoUUID":     {"an id that is a path", plain, shared, func(_ *agent, i *gatewayapi.Introduction) { i.PairingID = "../x" }, 0, false},
		"Garbage":    {"a sealed introduction that is none", plain, own, func(_ *agent, i *gatewayapi.Introduction) { i.Sealed = []byte{1, 2} }, 0, false},
		"Expired":    {"an introduction of long ago", plain, shared, nil, introductionLife + time.Hour, false},
		"Kept":       {"a token of one who keeps the introduction", kept, shared, nil, 0, true},
		"KeptLater":  {"the same, much later", kept, shared, nil, 1000 * time.Hour, true},
		"KeptSealed": {"the hub seals an introduction of its own", kept, own, sealedIntroduction, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.by.now = func() time.Time { return time.Now().Add(tc.later) }
			i := gatewayapi.Introduction{PairingID: uuid.NewString(), TransferKey: transfer.PublicKey()}
			i.Invitation = gatewayapi.Invite(tc.secret, i.PairingID, i.TransferKey)
			invitedWith = tc.secret
			if tc.change != nil {
				tc.change(tc.by, &i)
			}
			answer, err := tc.by.introduce(t.Context(), i)
			if (err == nil) != tc.shares {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if !tc.shares {
				return
			}
			id := tc.by.dir.identity()
			text, err := transfer.Open(gatewayapi.TransferBinding(id.Project, id.Gateway, i.PairingID), answer.SealedKey)
			if err != nil {
				t.Fatal(err)
			}
			key, err := gatewayapi.VouchedKey(tc.secret, i.PairingID, text)
			if err != nil || string(key) != string(id.SealingKey) {
				t.Errorf("what was shared is not the gateway's key: %v", err)
			}
			if _, err := gatewayapi.VouchedKey(hubapi.NewSecret(), i.PairingID, text); err == nil {
				t.Error("anyone can vouch for a key")
			}
		})
	}
}

// invitedWith is what sealedIntroduction seals.
var invitedWith []byte

// sealedIntroduction seals an introduction to the gateway, as the maker of a token does, and as a hub can.
func sealedIntroduction(a *agent, i *gatewayapi.Introduction) {
	id := a.dir.identity()
	key, err := id.sealing()
	if err != nil {
		panic(err)
	}
	i.Sealed, err = seal.Seal(key.PublicKey(), hubapi.IntroductionBinding(id.Project, id.Gateway, i.PairingID), invitedWith)
	if err != nil {
		panic(err)
	}
}

func plainKey(t *testing.T) []byte {
	t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey()
}

// TestPairingIsUsedOnce shows that a token's invitation is good for one key, however often the hub asks, also after a
// restart.
func TestPairingIsUsedOnce(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	secret := hubapi.NewSecret()
	if _, err := hub.pair(dir, func(token *hubapi.PairingToken) { token.Introduction = secret }); err != nil {
		t.Fatal(err)
	}
	a := introducer(t, hub, dir)
	invite := func(id string, key []byte) error {
		_, err := a.introduce(t.Context(), gatewayapi.Introduction{
			PairingID: id, TransferKey: key, Invitation: gatewayapi.Invite(secret, id, key),
		})
		return err
	}
	id, key := uuid.NewString(), plainKey(t)
	if err := errors.Join(invite(id, key), invite(id, key)); err != nil {
		t.Errorf("a hub that lost the answer: %v", err)
	}
	if err := a.dir.close(); err != nil {
		t.Fatal(err)
	}
	a = introducer(t, hub, dir)
	if err := invite(id, plainKey(t)); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
		t.Errorf("the same token for another key: %v", err)
	}
	if err := invite(hub.enrolment[0].Pairing.ID, key); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
		t.Errorf("the token that this replica was paired with: %v", err)
	}
}

// TestFurtherReplica pairs two replicas through a hub that relays, and shows that they have one key.
func TestFurtherReplica(t *testing.T) {
	hub := newFakeHub(t)
	secret := hubapi.NewSecret()
	together := func(token *hubapi.PairingToken) { token.Introduction = secret }
	firstDir := newDir(t)
	first, err := hub.pair(firstDir, together)
	if err != nil {
		t.Fatal(err)
	}
	a := introducer(t, hub, firstDir)
	relay := func(g *gatewayapi.Grant) {
		proof := hub.enrolment[len(hub.enrolment)-1].Pairing
		answer, err := a.introduce(t.Context(), gatewayapi.Introduction{
			PairingID: proof.ID, TransferKey: proof.TransferKey, Invitation: proof.Invitation,
		})
		if err != nil {
			t.Error(err)
		}
		g.SealedKey = answer.SealedKey
	}
	hub.grant = relay
	second, err := hub.pair(newDir(t), together, func(token *hubapi.PairingToken) { token.Key = first.Fingerprint })
	if err != nil || second.Fingerprint != first.Fingerprint || second.Replica == first.Replica {
		t.Errorf("%+v, %v; the first is %+v", second, err, first)
	}
	hub.grant = nil
	if _, err := hub.pair(newDir(t), together, func(token *hubapi.PairingToken) { token.Key = first.Fingerprint }); err == nil {
		t.Error("a hub made a further replica believe that it is the first")
	}
}
