package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

func TestOpenNeedsKeyAndBinding(t *testing.T) {
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	binding := seal.Binding{
		Purpose: seal.PurposePassword, Project: "p", Gateway: "g", Object: "a",
		Target: "vc.example", Trust: "t", Username: "u",
	}
	sealed, err := seal.Seal(key.PublicKey(), binding, []byte("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("s3cret")) {
		t.Fatal("the sealed secret shows the secret")
	}
	changed := func(f func(*seal.Binding)) seal.Binding { b := binding; f(&b); return b }
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1

	cases := map[string]struct {
		reason  string
		key     *seal.PrivateKey
		binding seal.Binding
		sealed  []byte
		opens   bool
	}{
		"Same":         {"key and binding match", key, binding, sealed, true},
		"OtherKey":     {"another gateway cannot read it", other, binding, sealed, false},
		"OtherPurpose": {"a password is no PKI", key, changed(func(b *seal.Binding) { b.Purpose = seal.PurposeClusterSecrets }), sealed, false},
		"OtherTarget":  {"it cannot be sent elsewhere", key, changed(func(b *seal.Binding) { b.Target = "evil.example" }), sealed, false},
		"OtherTrust":   {"nor to whoever shows another certificate", key, changed(func(b *seal.Binding) { b.Trust = "x" }), sealed, false},
		"OtherUser":    {"nor for another user", key, changed(func(b *seal.Binding) { b.Username = "x" }), sealed, false},
		"OtherProject": {"nor in another project", key, changed(func(b *seal.Binding) { b.Project = "x" }), sealed, false},
		"OtherObject":  {"nor for another account", key, changed(func(b *seal.Binding) { b.Object = "x" }), sealed, false},
		"Damaged":      {"a flipped bit is noticed", key, binding, damaged, false},
		"Empty":        {"nothing is not a secret", key, binding, nil, false},
		"OtherFormat":  {"a later format is refused", key, binding, append([]byte{2}, sealed[1:]...), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plain, err := tc.key.Open(tc.binding, tc.sealed)
			if tc.opens && (err != nil || string(plain) != "s3cret") {
				t.Errorf("%s: got %q, %v", tc.reason, plain, err)
			}
			if !tc.opens && !errors.Is(err, seal.ErrCannotOpen) {
				t.Errorf("%s: got %q, %v", tc.reason, plain, err)
			}
		})
	}
}

func TestPrivateKeySurvivesWriting(t *testing.T) {
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.ParsePrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	if seal.Fingerprint(again.PublicKey()) != seal.Fingerprint(key.PublicKey()) {
		t.Error("the key read back has another public half")
	}
}
