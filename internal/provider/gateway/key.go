package gateway

import (
	"encoding/base64"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// keyName is where the provider remembers the gateway's key in private state.
const keyName = "gateway_key"

// keyMemory is what the provider remembers of a gateway's key.
type keyMemory struct {
	// Trusted is the fingerprint of the key that was believed; "" before there was one.
	Trusted string `json:"trusted,omitempty"`
	// Serial is how many keys the gateway had before the trusted one, as its voucher says. It only grows.
	Serial int `json:"serial,omitempty"`
	// Seen is the fingerprint of the key that the hub showed last.
	Seen string `json:"seen,omitempty"`
}

// look takes note of the key that the hub shows. It tells whether that key is believed: the one that was believed before, the
// one that was accepted on purpose, one that the gateway itself has rotated it to, and, where nothing is accepted, a first one
// that the gateway itself vouches for.
func (k *keyMemory) look(g *hubapi.Gateway, accepted string, token types.String) bool {
	k.Seen = g.KeyFingerprint()
	switch {
	case k.Seen == k.Trusted:
		return true
	case k.Seen == "":
		return false // the hub has lost a key: the old one is remembered
	case accepted == k.Seen, k.Trusted == "" && accepted == "" && vouched(g, token):
		k.Trusted, k.Serial = k.Seen, serialOf(g, token)
		return true
	case k.Trusted != "" && serialOf(g, token) > k.Serial:
		k.Trusted, k.Serial = k.Seen, serialOf(g, token)
		return true
	default:
		return false
	}
}

// serialOf is how many keys the gateway had before the one that the hub shows; 0 where the gateway does not vouch for that.
func serialOf(g *hubapi.Gateway, token types.String) int {
	introduction := introductionOf(token)
	if introduction == nil || !vouched(g, token) {
		return 0
	}
	return g.Status.Voucher.Serial
}

// vouched tells whether the process that made the key was paired with a token of this resource: all of them have one
// introduction, which the hub never sees. Where there is no token, as after an import, nobody can tell, and the first key
// is believed.
func vouched(g *hubapi.Gateway, token types.String) bool {
	introduction := introductionOf(token)
	if introduction == nil {
		return true
	}
	key, err := base64.StdEncoding.DecodeString(g.Status.PublicKey)
	return err == nil && g.Status.Voucher.Good(introduction, key)
}

// introductionOf is that of a pairing token; nil is none.
func introductionOf(token types.String) []byte {
	parsed, err := hubapi.ParsePairingToken(token.ValueString())
	if err != nil {
		return nil
	}
	return parsed.Introduction
}

// refuse adds an error when the key is not believed.
func (k *keyMemory) refuse(name, accepted string, diags *diag.Diagnostics) {
	if k.Seen == "" || k.Seen == k.Trusted || accepted == k.Seen {
		return
	}
	if k.Trusted == "" {
		diags.AddAttributeError(path.Root("accept_key_fingerprint"), notVouched, notVouchedText(name, k.Seen, accepted)+fmt.Sprintf(
			"If the gateway prints this very fingerprint (gateway status), accept it:\n\n  accept_key_fingerprint = %q", k.Seen))
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

const notVouched = "Gateway Key Not Vouched For"

func notVouchedText(name, seen, accepted string) string {
	why := "no process that was paired with a token of palette_gateway vouches for it"
	if accepted != "" {
		why = "accept_key_fingerprint is " + accepted
	}
	return fmt.Sprintf("The hub says that the key of gateway %q is %s, and %s. Secrets are sealed to this key: whoever has it can read "+
		"them. The hub may have put its own key in the place of the gateway's.\n\n", name, seen, why)
}
