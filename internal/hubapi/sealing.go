package hubapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// PasswordBinding is what the password of a cloud account is sealed for: exactly this vCenter, trust and user.
func PasswordBinding(project, accountID string, spec CloudAccountSpec) (seal.Binding, error) {
	trust, err := seal.TrustDigest(spec.Trust)
	if err != nil {
		return seal.Binding{}, err
	}
	return seal.Binding{
		Purpose: seal.PurposePassword, Project: project, Gateway: spec.GatewayID, Object: accountID,
		Target: spec.VCenter, Trust: trust, Username: spec.Username,
	}, nil
}

// SealPassword seals a password to the key of the account's gateway before it leaves the caller's hands. The spec must
// be the one that will be written: canonical vCenter, real gateway id. Fingerprint is the fingerprint of the gateway's
// key that the caller has seen before, or ""; another key is refused. The fingerprint used is returned.
func (c *Client) SealPassword(
	ctx context.Context, accountID string, spec CloudAccountSpec, fingerprint, password string,
) (sealed []byte, used string, err error) {
	gateway, err := c.Gateway(ctx, spec.GatewayID)
	if err != nil {
		return nil, "", err
	}
	key, err := gateway.sealingKey(fingerprint)
	if err != nil {
		return nil, "", err
	}
	binding, err := PasswordBinding(c.project, accountID, spec)
	if err != nil {
		return nil, "", err
	}
	sealed, err = seal.Seal(key, binding, []byte(password))
	return sealed, seal.Fingerprint(key), err
}

// Handover tells the gateway that a cloud account leaves to seal the secrets of the account's clusters to another gateway.
// It holds the vCenter's password, by which the gateway knows that it comes from the account's owner: a hub cannot make
// one, so it cannot have the secrets sealed to a key of its own.
type Handover struct {
	Password string `json:"password"`
	// VCenter, Username and Trust are where the password may be shown, and nowhere else.
	VCenter  string `json:"vcenter"`
	Username string `json:"username"`
	Trust    Trust  `json:"trust"`
	// Gateway is the one that gets the clusters, Fingerprint that of its key.
	Gateway     string    `json:"gateway"`
	Fingerprint string    `json:"fingerprint"`
	Expires     time.Time `json:"expires"`
}

// handoverTTL is long enough for clocks that are not set right.
const handoverTTL = time.Hour

// HandoverBinding is what a Handover is sealed for.
func HandoverBinding(project, accountID, from string) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeHandover, Project: project, Gateway: from, Object: accountID}
}

// SealHandover seals the owner's word that the clusters of an account go from one gateway to the key of another.
// Fingerprint is that of the first gateway's key as the caller has seen it before, or ""; another key is refused.
func (c *Client) SealHandover(ctx context.Context, accountID, from, fingerprint string, h Handover) ([]byte, error) {
	gateway, err := c.Gateway(ctx, from)
	if err != nil {
		return nil, err
	}
	key, err := gateway.sealingKey(fingerprint)
	if err != nil {
		return nil, err
	}
	h.Expires = time.Now().Add(handoverTTL).UTC()
	text, err := json.Marshal(h) //nolint:gosec // It is sealed before it goes anywhere.
	if err != nil {
		return nil, fmt.Errorf("encoding a handover: %w", err)
	}
	return seal.Seal(key, HandoverBinding(c.project, accountID, from), text)
}

// sealingKey is the public key that the gateway's secrets are sealed to. A fingerprint that is not "" is that of the key
// as it was seen before: another one is refused, but for that very key where it is a former one.
func (g *Gateway) sealingKey(fingerprint string) ([]byte, error) {
	if g.Status.PublicKey == "" {
		return nil, (&Problem{
			Code: CodeUnreachable, Title: "Gateway is not paired", Field: "/gateway_id",
			Detail: fmt.Sprintf("no process has been paired as gateway %q (%s) yet, so it has no key to seal secrets to", g.Name, g.ID),
		}).WithHint("Pair it first; palette_gateway has wait_for_connection to wait for that.")
	}
	key, err := base64.StdEncoding.DecodeString(g.Status.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("reading the public key of gateway %s: %w", g.ID, err)
	}
	if now := seal.Fingerprint(key); fingerprint != "" && fingerprint != now {
		if former := g.formerKey(fingerprint); former != nil {
			return former, nil
		}
		return nil, &Problem{
			Code: CodeUntrusted, Title: "Gateway key changed", Field: "/gateway_id",
			Detail: fmt.Sprintf("the key of gateway %s was %s and is now %s", g.ID, fingerprint, now),
			Hint: "If the gateway was made anew on purpose, compare the new fingerprint with the one that the gateway prints, and name " +
				"it: gateway_key_fingerprint = \"" + now + "\" in the cloud account, accept_key_fingerprint in palette_gateway. " +
				"If nobody made it anew, somebody may be trying to obtain the password.",
		}
	}
	return key, nil
}

// formerKey is the gateway's older key with the fingerprint: the caller knows it for the gateway's, and the gateway opens what is
// sealed to it. Nil is none.
func (g *Gateway) formerKey(fingerprint string) []byte {
	for _, text := range g.Status.FormerKeys {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil && seal.Fingerprint(key) == fingerprint {
			return key
		}
	}
	return nil
}

// KeyFingerprint is the fingerprint of the key that the gateway's secrets are sealed to; "" while the gateway has none.
func (g *Gateway) KeyFingerprint() string {
	key, err := base64.StdEncoding.DecodeString(g.Status.PublicKey)
	if err != nil || len(key) == 0 {
		return ""
	}
	return seal.Fingerprint(key)
}
