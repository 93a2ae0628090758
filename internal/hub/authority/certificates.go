package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

// ReplicaID says which replica of which gateway a certificate is for.
type ReplicaID struct{ Project, Gateway, Replica string }

func (id ReplicaID) uri() string { return gatewayapi.ReplicaURI(id.Project, id.Gateway, id.Replica) }

// ErrNotReplica tells that a certificate is not that of a gateway's replica.
var ErrNotReplica = errors.New("the certificate is not that of a gateway's replica")

// ReplicaOf reads who a certificate is for. That it is signed by the authority is for the caller to check.
func ReplicaOf(cert *x509.Certificate) (ReplicaID, error) {
	if len(cert.URIs) != 1 || cert.IsCA {
		return ReplicaID{}, ErrNotReplica
	}
	parts := strings.Split(cert.URIs[0].Path, "/")
	if len(parts) != 7 {
		return ReplicaID{}, ErrNotReplica
	}
	id := ReplicaID{Project: parts[2], Gateway: parts[4], Replica: parts[6]}
	if id.uri() != cert.URIs[0].String() || uuid.Validate(id.Gateway) != nil || uuid.Validate(id.Replica) != nil {
		return ReplicaID{}, ErrNotReplica
	}
	return id, nil
}

// ErrRequest tells that a certificate request cannot be signed.
var ErrRequest = errors.New("the certificate request is not one for a P-256 or Ed25519 key, or is damaged")

// maxRequest bounds a certificate request, in bytes: none that has a key of the right kind needs more.
const maxRequest = 8 << 10

// SignReplica gives the key of a certificate request (DER) the identity. Whatever else the request asks for is not looked
// at. It returns the certificate (DER) and when it ends.
func (a *Authority) SignReplica(request []byte, id ReplicaID) (der []byte, until time.Time, err error) {
	if len(request) > maxRequest {
		return nil, time.Time{}, ErrRequest
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil || csr.CheckSignature() != nil {
		return nil, time.Time{}, ErrRequest
	}
	switch key := csr.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, time.Time{}, ErrRequest
		}
	default:
		return nil, time.Time{}, ErrRequest
	}
	uri, err := url.Parse(id.uri())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("naming a replica: %w", err)
	}
	return a.sign(csr.PublicKey, ReplicaLifetime, &x509.Certificate{
		URIs:        []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// sign fills in what all certificates have and signs.
func (a *Authority) sign(
	public crypto.PublicKey, life time.Duration, template *x509.Certificate,
) (der []byte, until time.Time, err error) {
	if template.SerialNumber, err = newSerial(); err != nil {
		return nil, time.Time{}, err
	}
	now := a.now()
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(life)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("signing a certificate: %w", err)
	}
	return der, template.NotAfter.Truncate(time.Second), nil
}

type serverCertificate struct {
	cert  tls.Certificate
	renew time.Time
}

// Server returns the hub's certificate for its end of tunnels, with the authority's behind it so that a pin can be
// checked. It is made anew at half its life; its key never leaves the process.
func (a *Authority) Server() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil && a.now().Before(a.server.renew) && a.now().After(a.server.renew.Add(-serverLifetime)) {
		return &a.server.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the hub's key: %w", err)
	}
	der, until, err := a.sign(key.Public(), serverLifetime, &x509.Certificate{
		DNSNames:    []string{gatewayapi.HubName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the hub's certificate: %w", err)
	}
	a.server = &serverCertificate{
		cert:  tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf},
		renew: until.Add(-serverLifetime / 2),
	}
	return &a.server.cert, nil
}
