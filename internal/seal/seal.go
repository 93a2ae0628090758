// Package seal owns the sealing of secrets to a gateway's key, so that whoever relays or keeps them can neither read them
// nor have them used for anything else. It is HPKE (RFC 9180) of the standard library with a binding in its info.
package seal

import (
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrCannotOpen is returned when a sealed secret was made for another key or another binding, or was damaged.
var ErrCannotOpen = errors.New("the sealed secret was made for another gateway key or another use, or is damaged")

// Purpose says what kind of secret is sealed, so that one can never be taken for another.
type Purpose string

// The purposes.
const (
	PurposePassword       Purpose = "vcenter-password"
	PurposeClusterSecrets Purpose = "cluster-secrets"
	// PurposeHandover is the word of a cloud account's owner that another gateway is to have its clusters.
	PurposeHandover Purpose = "handover"
	// PurposeIntroduction is what a new replica of a gateway proves its invitation with.
	PurposeIntroduction Purpose = "introduction"
	// PurposeGatewayKey is a gateway's own key, on its way to a new replica or kept for the organisation's recovery key.
	PurposeGatewayKey Purpose = "gateway-key"
	// PurposeRotation is a gateway's new key, sealed by the owner of the old one.
	PurposeRotation Purpose = "rotation"
)

// Binding is what a sealed secret is good for. Opening needs the very same binding: a password sealed for one vCenter
// and its trust cannot be sent to another, even by whoever keeps the record.
type Binding struct {
	Purpose Purpose `json:"purpose"`
	Project string  `json:"project"`
	Gateway string  `json:"gateway"`
	// Object is the id of the cloud account or the cluster.
	Object string `json:"object"`
	// Target is the address the secret may be sent to; "" for secrets that are sent nowhere.
	Target string `json:"target,omitempty"`
	// Trust is the digest of the certificates the target is believed by.
	Trust string `json:"trust,omitempty"`
	// Username is who the secret belongs to at the target.
	Username string `json:"username,omitempty"`
}

func (b Binding) info() []byte {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // only strings: cannot fail
	}
	return append([]byte("palette/seal/v1:"), text...)
}

// format is the first byte of every sealed secret.
const format = 1

func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// PrivateKey opens what was sealed to its public half.
type PrivateKey struct{ key hpke.PrivateKey }

// PrivateKeySize is the size of PrivateKey.Bytes.
const PrivateKeySize = 32

// NewPrivateKey makes a key.
func NewPrivateKey() (*PrivateKey, error) {
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making a sealing key: %w", err)
	}
	return &PrivateKey{key: key}, nil
}

// ParsePrivateKey reads a key written by Bytes.
func ParsePrivateKey(b []byte) (*PrivateKey, error) {
	kem, _, _ := suite()
	key, err := kem.NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading the sealing key: %w", err)
	}
	return &PrivateKey{key: key}, nil
}

// Bytes returns the key to be kept where only its owner can read it.
func (k *PrivateKey) Bytes() ([]byte, error) {
	b, err := k.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("writing the sealing key: %w", err)
	}
	return b, nil
}

// PublicKey returns the half that anyone may have.
func (k *PrivateKey) PublicKey() []byte { return k.key.PublicKey().Bytes() }

// Open returns the secret. It fails with ErrCannotOpen unless key and binding are those it was sealed with.
func (k *PrivateKey) Open(b Binding, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != format {
		return nil, ErrCannotOpen
	}
	_, kdf, aead := suite()
	plain, err := hpke.Open(k.key, kdf, aead, b.info(), sealed[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotOpen, err)
	}
	return plain, nil
}

// formatOwn is the first byte of what the owner of a key has sealed to itself.
const formatOwn = 2

// SealOwn seals a secret to the key's own public half, with a proof that the owner of the key has done so: anyone can seal to
// a public key.
func (k *PrivateKey) SealOwn(b Binding, secret []byte) ([]byte, error) {
	proof, err := k.proof(b, secret)
	if err != nil {
		return nil, err
	}
	sealed, err := Seal(k.PublicKey(), b, append(proof, secret...))
	if err != nil {
		return nil, err
	}
	sealed[0] = formatOwn
	return sealed, nil
}

// OpenOwn is Open for secrets that may have been sealed by the owner of the key. It tells whether they were.
func (k *PrivateKey) OpenOwn(b Binding, sealed []byte) (secret []byte, own bool, err error) {
	if len(sealed) == 0 || sealed[0] != formatOwn {
		secret, err = k.Open(b, sealed)
		return secret, false, err
	}
	text, err := k.Open(b, append([]byte{format}, sealed[1:]...))
	if err != nil {
		return nil, false, err
	}
	if len(text) < sha256.Size {
		return nil, false, ErrCannotOpen
	}
	secret = text[sha256.Size:]
	proof, err := k.proof(b, secret)
	if err != nil {
		return nil, false, err
	}
	if !hmac.Equal(proof, text[:sha256.Size]) {
		return nil, false, ErrCannotOpen
	}
	return secret, true, nil
}

// proof can be made by the owner of the key only.
func (k *PrivateKey) proof(b Binding, secret []byte) ([]byte, error) {
	private, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	derive := hmac.New(sha256.New, private)
	derive.Write([]byte("palette/own/v1"))
	mac := hmac.New(sha256.New, derive.Sum(nil))
	bound := sha256.Sum256(b.info())
	mac.Write(bound[:])
	mac.Write(secret)
	return mac.Sum(nil), nil
}

// Seal encrypts a secret so that only the owner of the public key can open it, and only for the binding.
func Seal(publicKey []byte, b Binding, secret []byte) ([]byte, error) {
	kem, kdf, aead := suite()
	key, err := kem.NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's public key: %w", err)
	}
	sealed, err := hpke.Seal(key, kdf, aead, b.info(), secret)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return append([]byte{format}, sealed...), nil
}

// Fingerprint is a short name for a public key, to notice that it has changed.
func Fingerprint(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// TrustDigest is the Binding.Trust of the given settings.
func TrustDigest(trust any) (string, error) {
	text, err := json.Marshal(trust)
	if err != nil {
		return "", fmt.Errorf("encoding trust settings: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
