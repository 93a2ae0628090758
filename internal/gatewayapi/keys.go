package gatewayapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// TransferBinding is what a gateway's key is sealed for on its way to a new replica.
func TransferBinding(project, gatewayID, pairingID string) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeGatewayKey, Project: project, Gateway: gatewayID, Object: pairingID}
}

// EscrowBinding is what a gateway's key is sealed for when it is kept for the organisation's recovery key.
func EscrowBinding(project, gatewayID string) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeGatewayKey, Project: project, Gateway: gatewayID, Object: "recovery"}
}

// errNotVouched is returned for a gateway key that does not come from a replica which knows the introduction.
var errNotVouched = errors.New("the gateway's key does not come from one of the gateway's replicas")

// VouchKey puts before a gateway's private key the proof that it comes from a replica that knows the introduction. Anyone
// can seal to a transfer key, the hub included; only such a replica can vouch.
func VouchKey(introduction []byte, pairingID string, key []byte) []byte {
	return append(vouch(introduction, pairingID, key), key...)
}

// VouchedKey takes apart what VouchKey made.
func VouchedKey(introduction []byte, pairingID string, text []byte) ([]byte, error) {
	if len(text) <= sha256.Size {
		return nil, errNotVouched
	}
	proof, key := text[:sha256.Size], bytes.Clone(text[sha256.Size:])
	if !hmac.Equal(proof, vouch(introduction, pairingID, key)) {
		return nil, errNotVouched
	}
	return key, nil
}

func vouch(introduction []byte, pairingID string, key []byte) []byte {
	mac := hmac.New(sha256.New, introduction)
	mac.Write([]byte("palette/vouch/v1:" + pairingID + ":"))
	mac.Write(key)
	return mac.Sum(nil)
}
