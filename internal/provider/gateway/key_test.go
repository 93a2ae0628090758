package gateway

import (
	"encoding/base64"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

func TestRotatedKey(t *testing.T) {
	token := hubapi.PairingToken{
		ID: uuid.NewString(), Gateway: uuid.NewString(), Project: "default", Secret: hubapi.NewSecret(), Introduction: hubapi.NewSecret(),
		Pin: hubapi.NewSecret(), Kept: true,
	}
	text := types.StringValue(token.String())
	old, next := []byte("old"), []byte("new")
	first := &hubapi.KeyVoucher{Pairing: token.ID, MAC: token.Vouch(old)}
	relabelled := *first
	relabelled.Serial = 2
	for name, tc := range map[string]struct {
		reason   string
		trusted  []byte
		serial   int
		shown    []byte
		voucher  *hubapi.KeyVoucher
		token    types.String
		believed bool
		after    int
	}{
		"Rotated":     {"the gateway vouches for it", old, 0, next, hubapi.VouchRotated(token.Introduction, 1, next), text, true, 1},
		"Missed":      {"some may have been missed", old, 1, next, hubapi.VouchRotated(token.Introduction, 5, next), text, true, 5},
		"Back":        {"an older key is not a newer one", next, 1, old, first, text, false, 1},
		"BackRotated": {"nor is one of the keys in between", next, 2, old, hubapi.VouchRotated(token.Introduction, 1, old), text, false, 2},
		"Relabelled":  {"nor when the hub says so", next, 1, old, &relabelled, text, false, 1},
		"First":       {"a gateway made anew is not one that rotated", next, 0, old, first, text, false, 0},
		"Stranger":    {"who has no introduction cannot vouch", old, 0, next, hubapi.VouchRotated(hubapi.NewSecret(), 1, next), text, false, 0},
		"OtherKey":    {"nor for another key", old, 0, next, hubapi.VouchRotated(token.Introduction, 1, old), text, false, 0},
		"None":        {"a change without a word is refused", old, 0, next, nil, text, false, 0},
		"NoToken":     {"who has no token cannot tell", old, 0, next, hubapi.VouchRotated(token.Introduction, 1, next), types.StringNull(), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := &hubapi.Gateway{Status: hubapi.GatewayStatus{PublicKey: base64.StdEncoding.EncodeToString(tc.shown), Voucher: tc.voucher}}
			k := keyMemory{Trusted: seal.Fingerprint(tc.trusted), Serial: tc.serial}
			if believed := k.look(g, "", tc.token); believed != tc.believed || k.Serial != tc.after {
				t.Errorf("%s: believed %t, serial %d", tc.reason, believed, k.Serial)
			}
		})
	}
}
