package hubapi

import (
	"context"
	"encoding/base64"
	"fmt"

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
	key, err := base64.StdEncoding.DecodeString(gateway.PublicKey)
	if err != nil {
		return nil, "", fmt.Errorf("reading the public key of gateway %s: %w", gateway.ID, err)
	}
	used = seal.Fingerprint(key)
	if fingerprint != "" && fingerprint != used {
		return nil, "", &Problem{
			Code: CodeUntrusted, Title: "Gateway key changed", Field: "/gateway_id",
			Detail: fmt.Sprintf("the key of gateway %s was %s and is now %s", gateway.ID, fingerprint, used),
			Hint: "If the gateway was re-created on purpose, replace the cloud account; " +
				"if not, somebody may be trying to obtain the password.",
		}
	}
	binding, err := PasswordBinding(c.project, accountID, spec)
	if err != nil {
		return nil, "", err
	}
	sealed, err = seal.Seal(key, binding, []byte(password))
	return sealed, used, err
}
