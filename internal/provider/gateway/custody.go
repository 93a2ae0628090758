package gateway

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

var errCannotOpen = errors.New("the password that was kept cannot be opened: the access to the vCenter, or the key at the hub, has changed")

func keeper(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("using the key in custody: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("using the key in custody: %w", err)
	}
	return aead, nil
}

// keepPassword encrypts the password by which the appliance can be destroyed when no configuration has it any more. The key
// is in custody at the hub, which never sees what it encrypts. It is good for one access only.
func keepPassword(ctx context.Context, client *hubapi.Client, gatewayID string, access []byte, password string) (string, error) {
	custody, err := client.TakeCustody(ctx, gatewayID)
	if err != nil {
		return "", err
	}
	aead, err := keeper(custody.Key)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(password), access)), nil
}

// openPassword is the inverse of keepPassword.
func openPassword(ctx context.Context, client *hubapi.Client, gatewayID string, access []byte, kept string) (string, error) {
	custody, err := client.Custody(ctx, gatewayID)
	if err != nil {
		return "", err
	}
	aead, err := keeper(custody.Key)
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(kept)
	if err != nil || len(raw) < aead.NonceSize() {
		return "", errCannotOpen
	}
	nonce, sealed := raw[:aead.NonceSize()], raw[aead.NonceSize():]
	password, err := aead.Open(nil, nonce, sealed, access)
	if err != nil {
		return "", errCannotOpen
	}
	return string(password), nil
}
