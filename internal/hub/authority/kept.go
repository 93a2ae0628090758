package authority

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// Settings is where the authority is kept.
type Settings interface {
	// Setting returns what was put under the name, or store.ErrNoRecord.
	Setting(ctx context.Context, name string) ([]byte, error)
	// PutSettingIfAbsent keeps the value unless there is one, and returns the one that is kept.
	PutSettingIfAbsent(ctx context.Context, name string, value []byte) ([]byte, error)
}

// ErrSecret tells that the authority was kept with another secret, or was damaged.
var ErrSecret = errors.New("the secret is not the one that the certificate authority was kept with, or what was kept is damaged")

// settingName names the authority among the settings; it is also what its encryption is bound to.
const settingName = "certificate-authority"

// keptForm is what is encrypted.
type keptForm struct {
	Key         []byte `json:"key"`
	Certificate []byte `json:"certificate"`
}

func load(ctx context.Context, kept Settings, secret [32]byte) (*Authority, error) {
	sealed, err := kept.Setting(ctx, settingName)
	if errors.Is(err, store.ErrNoRecord) {
		sealed, err = makeAndKeep(ctx, kept, secret)
	}
	if err != nil {
		return nil, err
	}
	return open(sealed, secret)
}

// makeAndKeep makes an authority and returns the one that is kept, which is another's when two start at once. Its life
// begins by the system's clock, because the clock that is given may be a test's.
func makeAndKeep(ctx context.Context, kept Settings, secret [32]byte) ([]byte, error) {
	a, err := create(time.Now())
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encoding its key: %w", err)
	}
	text, err := json.Marshal(keptForm{Key: key, Certificate: a.cert.Raw})
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	aead, err := cipherOf(secret)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed, err := kept.PutSettingIfAbsent(ctx, settingName, aead.Seal(nonce, nonce, text, []byte(settingName)))
	if err != nil {
		return nil, fmt.Errorf("keeping it: %w", err)
	}
	return sealed, nil
}

func cipherOf(secret [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("preparing its encryption: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("preparing its encryption: %w", err)
	}
	return aead, nil
}

func open(sealed []byte, secret [32]byte) (*Authority, error) {
	aead, err := cipherOf(secret)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrSecret
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(settingName))
	if err != nil {
		return nil, ErrSecret
	}
	var form keptForm
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("decoding it: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(form.Key)
	if err != nil {
		return nil, fmt.Errorf("reading its key: %w", err)
	}
	cert, err := x509.ParseCertificate(form.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading its certificate: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok || !signer.PublicKey.Equal(cert.PublicKey) {
		return nil, ErrSecret
	}
	return &Authority{key: signer, cert: cert}, nil
}
