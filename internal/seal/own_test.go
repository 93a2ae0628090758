package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// TestOwn shows that only the owner of a key can make what it takes for its own, and that neither kind passes for the other.
func TestOwn(t *testing.T) {
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	binding := seal.Binding{Purpose: seal.PurposeClusterSecrets, Project: "p", Gateway: "g", Object: "c"}
	secret := bytes.Repeat([]byte("secret"), 20)
	mine, err := key.SealOwn(binding, secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, own, err := key.OpenOwn(binding, mine); err != nil || !own || !bytes.Equal(got, secret) {
		t.Errorf("its own: %q, %v, %v", got, own, err)
	}
	others, err := seal.Seal(key.PublicKey(), binding, secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, own, err := key.OpenOwn(binding, others); err != nil || own || !bytes.Equal(got, secret) {
		t.Errorf("another's: %q, %v, %v", got, own, err)
	}
	if _, err := key.Open(binding, mine); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("its own, taken for another's: %v", err)
	}
	others[0] = mine[0]
	if _, _, err := key.OpenOwn(binding, others); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("another's, taken for its own: %v", err)
	}
	elsewhere := binding
	elsewhere.Object = "d"
	for reason, sealed := range map[string][]byte{"nothing": nil, "one byte": mine[:1], "half": mine[:len(mine)/2]} {
		if _, _, err := key.OpenOwn(binding, sealed); !errors.Is(err, seal.ErrCannotOpen) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if _, _, err := key.OpenOwn(elsewhere, mine); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("for another use: %v", err)
	}
}
