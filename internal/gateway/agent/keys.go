package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

// newTLSKey makes a key and a request for a certificate. The request says nothing but the key: who the replica is, the hub
// knows.
func newTLSKey() (pkcs8, csr []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a TLS key: %w", err)
	}
	if pkcs8, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, fmt.Errorf("encoding the TLS key: %w", err)
	}
	csr, err = requestFor(pkcs8)
	return pkcs8, csr, err
}

// requestFor makes a request for a certificate for a key.
func requestFor(pkcs8 []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("reading the TLS key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return csr, nil
}

// pinnedTLS believes a hub whose certificate was issued by the CA with the given pin, and no other.
func pinnedTLS(pin []byte) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: gatewayapi.HubName,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection decides, and is called for every connection.
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, ca := range state.PeerCertificates {
				if bytes.Equal(pinOf(ca), pin) && ca.IsCA {
					roots := x509.NewCertPool()
					roots.AddCert(ca)
					return verifyHub(state, roots)
				}
			}
			return unbelieved(state, errors.New("it does not show the certificate authority that the pairing token names"))
		},
	}
}

// hubTLS believes a hub whose certificate was issued by the hub's own CA, and shows the replica's certificate as it is at
// the time. Who has none shows none.
func hubTLS(id func() identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: gatewayapi.HubName,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection decides with the CA as it is now.
		VerifyConnection: func(state tls.ConnectionState) error {
			roots, err := caPool(id().CA)
			if err != nil {
				return err
			}
			return verifyHub(state, roots)
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id().certificate() },
	}
}

func verifyHub(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return unbelieved(state, errors.New("it shows none"))
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: gatewayapi.HubName, Roots: roots, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return unbelieved(state, err)
	}
	return nil
}

// unbelieved is the error by which crypto/tls says that a certificate is not believed.
func unbelieved(state tls.ConnectionState, err error) error {
	return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
}

func pinOf(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:]
}

func caPool(bundle string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(bundle)) {
		return nil, errors.New("there is no certificate in the hub's CA bundle")
	}
	return pool, nil
}

// parseBundle reads the certificates of a PEM bundle.
func parseBundle(bundle []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the hub's CA bundle: %w", err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in the hub's CA bundle")
	}
	return all, nil
}

// checkGrant tells whether a grant is what was asked for: a certificate for this key, by a believed CA, in the name of
// the replica that it says.
func checkGrant(g gatewayapi.Grant, pkcs8 []byte, believed func(*x509.Certificate) bool) error {
	bundle, err := parseBundle(g.CA)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(bundle, believed) {
		return errors.New("the hub's CA bundle does not hold the certificate authority that is believed")
	}
	leaf, err := x509.ParseCertificate(g.Certificate)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return fmt.Errorf("reading the replica's TLS key: %w", err)
	}
	if own, ok := key.(*ecdsa.PrivateKey); !ok || !own.PublicKey.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key")
	}
	roots := x509.NewCertPool()
	for _, ca := range bundle {
		if believed(ca) {
			roots.AddCert(ca)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the certificate is not the hub's: %w", err)
	}
	want := gatewayapi.ReplicaURI(g.Project, g.Gateway, g.Replica)
	for _, uri := range leaf.URIs {
		if uri.String() == want {
			return nil
		}
	}
	return errors.New("the certificate is for another replica")
}
