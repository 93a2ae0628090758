package bootstrap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"regexp"
	"time"
)

const (
	caYears = 10
	// clockSkew is how far a node's clock may be behind the gateway's before it refuses a new CA.
	clockSkew = time.Hour

	tokenAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// ErrSecrets says that a cluster's secrets are incomplete or do not belong together.
var ErrSecrets = errors.New("invalid cluster secrets")

// Secrets are a cluster's PKI and bootstrap token. They encode to JSON for sealing and to nothing else: printed or
// logged they show no content.
type Secrets struct {
	CA             KeyPair    `json:"ca"`
	EtcdCA         KeyPair    `json:"etcd_ca"`
	FrontProxyCA   KeyPair    `json:"front_proxy_ca"`
	ServiceAccount SigningKey `json:"service_account"`
	// Token is the bootstrap token machines join with.
	Token string `json:"token"`
}

// KeyPair is a certificate with its key, both PEM.
type KeyPair struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// SigningKey is the key pair that signs service account tokens, both PEM.
type SigningKey struct {
	Public  string `json:"public"`
	Private string `json:"private"`
}

// NewSecrets makes the secrets of a new cluster: ECDSA P-256 authorities valid for ten years from now, a service
// account key and a token. It reads crypto/rand, the one impurity of this package.
func NewSecrets(now time.Time) (Secrets, error) {
	var s Secrets
	for _, ca := range []struct {
		name string
		into *KeyPair
	}{
		{"kubernetes", &s.CA},
		{"etcd-ca", &s.EtcdCA},
		{"front-proxy-ca", &s.FrontProxyCA},
	} {
		pair, err := newCA(ca.name, now)
		if err != nil {
			return Secrets{}, fmt.Errorf("making authority %s: %w", ca.name, err)
		}
		*ca.into = pair
	}
	var err error
	if s.ServiceAccount, err = newSigningKey(); err != nil {
		return Secrets{}, fmt.Errorf("making service account key: %w", err)
	}
	if s.Token, err = newToken(rand.Reader); err != nil {
		return Secrets{}, fmt.Errorf("making bootstrap token: %w", err)
	}
	return s, nil
}

// CACertHash returns the pin of the cluster's authority as kubeadm writes it: "sha256:" and the hash of the
// certificate's public key. It is empty when the certificate cannot be read.
func (s Secrets) CACertHash() string {
	block, _ := pem.Decode([]byte(s.CA.Certificate))
	if block == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var tokenForm = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// check refuses secrets that kubeadm would refuse, minutes later and inside a guest.
func (s Secrets) check() error {
	for _, ca := range []struct {
		name string
		pair KeyPair
	}{
		{"cluster", s.CA},
		{"etcd", s.EtcdCA},
		{"front proxy", s.FrontProxyCA},
	} {
		if _, err := tls.X509KeyPair([]byte(ca.pair.Certificate), []byte(ca.pair.Key)); err != nil {
			return fmt.Errorf("%w: %s authority: %w", ErrSecrets, ca.name, err)
		}
	}
	if err := s.ServiceAccount.check(); err != nil {
		return fmt.Errorf("%w: service account key: %w", ErrSecrets, err)
	}
	if !tokenForm.MatchString(s.Token) {
		return fmt.Errorf("%w: the bootstrap token is malformed", ErrSecrets)
	}
	return nil
}

func (k SigningKey) check() error {
	private, _ := pem.Decode([]byte(k.Private))
	public, _ := pem.Decode([]byte(k.Public))
	if private == nil || public == nil {
		return errors.New("not PEM")
	}
	key, err := x509.ParseECPrivateKey(private.Bytes)
	if err != nil {
		return fmt.Errorf("reading private key: %w", err)
	}
	pub, err := x509.ParsePKIXPublicKey(public.Bytes)
	if err != nil {
		return fmt.Errorf("reading public key: %w", err)
	}
	if !key.PublicKey.Equal(pub) {
		return errors.New("public and private key do not match")
	}
	return nil
}

const hidden = "[secret]"

// Format prints no content, whatever the verb.
func (Secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// Format prints no content, whatever the verb.
func (KeyPair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// Format prints no content, whatever the verb.
func (SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue logs no content.
func (Secrets) LogValue() slog.Value { return slog.StringValue(hidden) }

// LogValue logs no content.
func (KeyPair) LogValue() slog.Value { return slog.StringValue(hidden) }

// LogValue logs no content.
func (SigningKey) LogValue() slog.Value { return slog.StringValue(hidden) }

func newCA(name string, now time.Time) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("generating key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return KeyPair{}, fmt.Errorf("drawing serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             now.Add(-clockSkew).UTC(),
		NotAfter:              now.AddDate(caYears, 0, 0).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("signing certificate: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Certificate: encodePEM("CERTIFICATE", der), Key: private}, nil
}

func newSigningKey() (SigningKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("generating key: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return SigningKey{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return SigningKey{}, fmt.Errorf("encoding public key: %w", err)
	}
	return SigningKey{Public: encodePEM("PUBLIC KEY", public), Private: private}, nil
}

// encodeKey writes the form kubeadm writes itself.
func encodeKey(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding private key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// newToken draws a token "abcdef.0123456789abcdef", each character with the same probability.
func newToken(random io.Reader) (string, error) {
	const id, length = 6, 22
	// The largest multiple of the alphabet's size below 256; what lies above would favour its first letters.
	const fair = 256 / len(tokenAlphabet) * len(tokenAlphabet)
	token := make([]byte, 0, length+1)
	for b := make([]byte, 1); len(token) < length+1; {
		if len(token) == id {
			token = append(token, '.')
			continue
		}
		if _, err := io.ReadFull(random, b); err != nil {
			return "", fmt.Errorf("reading random bytes: %w", err)
		}
		if int(b[0]) < fair {
			token = append(token, tokenAlphabet[int(b[0])%len(tokenAlphabet)])
		}
	}
	return string(token), nil
}
