package gatewayapi_test

import (
	"bytes"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

func newKey(t *testing.T) *seal.PrivateKey {
	t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRotation(t *testing.T) {
	old, next, stranger := newKey(t), newKey(t), newKey(t)
	private, err := stranger.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// sealed is what anybody can make who knows the gateway's public key, as the hub does.
	sealed, err := seal.Seal(old.PublicKey(), seal.Binding{
		Purpose: seal.PurposeRotation, Project: "p", Gateway: "g", Object: seal.Fingerprint(stranger.PublicKey()),
	}, private)
	if err != nil {
		t.Fatal(err)
	}
	forged := gatewayapi.Rotation{From: old.PublicKey(), To: stranger.PublicKey(), Sealed: sealed}
	cases := map[string]struct {
		reason  string
		change  func(*gatewayapi.Rotation)
		by      *seal.PrivateKey
		gateway string
		good    bool
	}{
		"Good":         {"the owner of the old key has made it", func(*gatewayapi.Rotation) {}, old, "g", true},
		"Forged":       {"anybody can seal to a public key", func(r *gatewayapi.Rotation) { *r = forged }, old, "g", false},
		"ForgedProof":  {"and say that it is the owner's", func(r *gatewayapi.Rotation) { *r = forged; r.Sealed = append([]byte{2}, sealed[1:]...) }, old, "g", false},
		"OtherKey":     {"it is for the key it says", func(r *gatewayapi.Rotation) { r.To = stranger.PublicKey() }, old, "g", false},
		"OtherGateway": {"and for one gateway", func(*gatewayapi.Rotation) {}, old, "other", false},
		"NotTheOwner":  {"who has another key learns nothing", func(*gatewayapi.Rotation) {}, stranger, "g", false},
		"Damaged":      {"a flipped bit is noticed", func(r *gatewayapi.Rotation) { r.Sealed[len(r.Sealed)-1] ^= 1 }, old, "g", false},
		"Empty":        {"nothing is no rotation", func(r *gatewayapi.Rotation) { *r = gatewayapi.Rotation{} }, old, "g", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := gatewayapi.NewRotation("p", "g", old, next)
			if err != nil {
				t.Fatal(err)
			}
			tc.change(&r)
			key, err := r.Open("p", tc.gateway, tc.by)
			if good := err == nil && bytes.Equal(key.PublicKey(), next.PublicKey()); good != tc.good {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
}

func TestSplitKeys(t *testing.T) {
	var text []byte
	var want [][]byte
	for range 3 {
		key := newKey(t)
		private, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		text, want = append(text, private...), append(want, key.PublicKey())
	}
	keys, err := gatewayapi.SplitKeys(text)
	if err != nil || len(keys) != len(want) {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for i, key := range keys {
		if !bytes.Equal(key.PublicKey(), want[i]) {
			t.Errorf("key %d is another one", i)
		}
	}
	for _, damaged := range [][]byte{nil, text[1:], []byte("x")} {
		if _, err := gatewayapi.SplitKeys(damaged); err == nil {
			t.Errorf("%d bytes were taken for keys", len(damaged))
		}
	}
}
