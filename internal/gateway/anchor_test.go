package gateway

import (
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// TestAnchor checks who may use a cluster's secrets: a hub can make up an account, but it knows neither the password nor what
// the secrets were made for.
func TestAnchor(t *testing.T) {
	made := vsphere.Login{
		Host: "vcenter.example.com", Username: "automation", Password: "s3cret", Trust: vsphere.Trust{Thumbprints: []string{"AA"}},
	}
	for name, tc := range map[string]struct {
		reason string
		login  func(*vsphere.Login)
		holds  bool
		same   bool
	}{
		"Same":            {reason: "Nothing has changed.", holds: true, same: true},
		"EmptyAndMissing": {reason: "No list and an empty one are the same.", login: func(l *vsphere.Login) { l.Trust.CACertificate = "" }, holds: true, same: true},
		"NewPassword":     {reason: "The vCenter took it.", login: func(l *vsphere.Login) { l.Password = "n3w" }, holds: true},
		"NewUser":         {reason: "The vCenter took it.", login: func(l *vsphere.Login) { l.Username, l.Password = "other", "n3w" }, holds: true},
		"NewThumbprint": {
			reason: "The certificate was renewed, and who says so knows the password.",
			login:  func(l *vsphere.Login) { l.Trust.Thumbprints = []string{"BB"} }, holds: true,
		},
		"NewAddress": {reason: "Who says so knows the password.", login: func(l *vsphere.Login) { l.Host = "vcsa.example.com" }, holds: true},
		"Elsewhere": {
			reason: "A vCenter of the hub's own, which takes any password.",
			login:  func(l *vsphere.Login) { l.Host, l.Password = "evil.example.com", "any" },
		},
		"OtherTrust": {
			reason: "The address is right, and whose certificate is trusted is the hub's choice.",
			login:  func(l *vsphere.Login) { l.Trust.Insecure, l.Password = true, "any" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			login := made
			if tc.login != nil {
				tc.login(&login)
			}
			kept := anchorAt(made)
			if kept.holds(login) != tc.holds || kept.same(login) != tc.same {
				t.Errorf("%s\nholds %v, same %v", tc.reason, kept.holds(login), kept.same(login))
			}
		})
	}
}
