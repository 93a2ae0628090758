// Package authority owns the hub's own certificate authority: it makes it once, keeps it encrypted, and signs with it who a
// gateway's replica is and who the hub is. Gateways and hub believe each other by it and by no other, whatever the TLS
// connection around theirs is made of. It knows no tunnel and no records.
package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

const (
	lifetime = 10 * 365 * 24 * time.Hour
	// ReplicaLifetime is how long a replica's certificate is good for, from when it is signed.
	ReplicaLifetime = 24 * time.Hour
	serverLifetime  = 24 * time.Hour
	// backdate lets a certificate be used where the clock is behind.
	backdate = time.Hour
	// serialBits makes serial numbers unique without a list of them.
	serialBits = 127
)

// Authority signs certificates. It may be used by several goroutines.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	now  func() time.Time

	mu     sync.Mutex
	server *serverCertificate
}

// Open returns the authority that is kept in the settings, and makes one when there is none. What is kept can be read with
// the secret only. Now may be nil: the system's clock.
func Open(ctx context.Context, kept Settings, secret [32]byte, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	a, err := load(ctx, kept, secret)
	if err != nil {
		return nil, fmt.Errorf("opening the hub's certificate authority: %w", err)
	}
	a.now = now
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a, nil
}

func create(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making its key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "palette hub authority"},
		// A day, because the clocks of the first gateway and of the hub may be far apart.
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing its certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading its certificate: %w", err)
	}
	return &Authority{key: key, cert: cert}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// Pin returns the SHA-256 of the authority's public key (SPKI), by which a gateway knows the hub when it is paired.
func (a *Authority) Pin() []byte {
	sum := sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)
	return sum[:]
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool returns the authority as the only one that is believed. It is shared: nothing is to be added to it.
func (a *Authority) Pool() *x509.CertPool { return a.pool }
