package gateway

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// keyName is where the provider remembers the gateway's key in private state.
const keyName = "gateway_key"

// keyMemory is what the provider remembers of a gateway's key.
type keyMemory struct {
	// Trusted is the fingerprint of the key that was believed; "" before there was one.
	Trusted string `json:"trusted,omitempty"`
	// Seen is the fingerprint of the key that the hub showed last.
	Seen string `json:"seen,omitempty"`
}

// look takes note of the key that the hub shows. It tells whether that key is believed: the first one, the one that was
// believed before, and the one that was accepted on purpose.
func (k *keyMemory) look(g *hubapi.Gateway, accepted string) bool {
	k.Seen = g.KeyFingerprint()
	switch {
	case k.Seen == k.Trusted:
		return true
	case k.Seen == "":
		return false // the hub has lost a key: the old one is remembered
	case k.Trusted == "", accepted == k.Seen:
		k.Trusted = k.Seen
		return true
	default:
		return false
	}
}

// refuse adds an error when the key has changed and the change was not accepted.
func (k *keyMemory) refuse(name, accepted string, diags *diag.Diagnostics) {
	if k.Trusted == "" || k.Seen == "" || k.Seen == k.Trusted || accepted == k.Seen {
		return
	}
	diags.AddAttributeError(path.Root("accept_key_fingerprint"), "Gateway Key Changed", fmt.Sprintf(
		"The key of gateway %q was %s and is now %s. Secrets are sealed to this key: whoever has it can read them.\n\n"+
			"If the gateway was made anew on purpose, compare the new fingerprint with the one that the gateway prints "+
			"(gateway status) and accept it:\n\n  accept_key_fingerprint = %q\n\n"+
			"Then raise password_wo_version of the cloud accounts that use the gateway. If nobody made it anew, somebody may be "+
			"trying to obtain passwords.",
		name, k.Trusted, k.Seen, k.Seen))
}
