package gateway

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// sealedName is where the appliance's encrypted password is kept in private state.
const sealedName = "appliance"

// sealedPassword is the password by which the appliance can be destroyed when no configuration has it any more. The key
// is in custody at the hub, which never sees this half.
type sealedPassword struct {
	Sealed []byte `json:"sealed,omitempty"`
}

var errCannotOpen = errors.New("the password that was kept cannot be opened: the access to the vCenter, or the key at the hub, has changed")

func keeper(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("using the key in custody: %w", err)
	}
	return cipher.NewGCM(block)
}

// keepPassword encrypts the password for the access that it is for.
func keepPassword(ctx context.Context, client *hubapi.Client, gatewayID string, access []byte, password string) (sealedPassword, error) {
	custody, err := client.TakeCustody(ctx, gatewayID)
	if err != nil {
		return sealedPassword{}, err
	}
	aead, err := keeper(custody.Key)
	if err != nil {
		return sealedPassword{}, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return sealedPassword{Sealed: aead.Seal(nonce, nonce, []byte(password), access)}, nil
}

// openPassword is the inverse of keepPassword.
func openPassword(ctx context.Context, client *hubapi.Client, gatewayID string, access []byte, kept sealedPassword) (string, error) {
	custody, err := client.Custody(ctx, gatewayID)
	if err != nil {
		return "", err
	}
	aead, err := keeper(custody.Key)
	if err != nil {
		return "", err
	}
	if len(kept.Sealed) < aead.NonceSize() {
		return "", errCannotOpen
	}
	nonce, sealed := kept.Sealed[:aead.NonceSize()], kept.Sealed[aead.NonceSize():]
	password, err := aead.Open(nil, nonce, sealed, access)
	if err != nil {
		return "", errCannotOpen
	}
	return string(password), nil
}
