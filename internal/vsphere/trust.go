package vsphere

import (
	"crypto/sha1" //nolint:gosec // vSphere shows SHA-1 thumbprints; they are compared, not signed
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Trust says which certificate a vCenter may show. Nothing set means the system's certificate authorities.
type Trust struct {
	// CACertificate is a bundle of PEM certificates; where it is set the system's authorities do not count.
	CACertificate string
	// Thumbprints are SHA-1 or SHA-256 thumbprints, of which the shown certificate must have one. With a bundle beside
	// them either is enough.
	Thumbprints []string
	// Insecure accepts any certificate. It is never assumed.
	Insecure bool
}

// tlsConfig builds the TLS configuration that holds the trust for host, and reports what was presented when it fails.
func (t Trust) tlsConfig(host string) (*tls.Config, error) {
	var roots *x509.CertPool
	if t.CACertificate != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(t.CACertificate)) {
			return nil, errors.New("CA certificate has no PEM certificate in it")
		}
	}
	wanted := make([]string, 0, len(t.Thumbprints))
	for _, text := range t.Thumbprints {
		thumbprint, err := normalThumbprint(text)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, thumbprint)
	}
	u := url.URL{Host: host}
	check := &verifier{host: host, name: u.Hostname(), roots: roots, thumbprints: wanted, insecure: t.Insecure}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The whole decision is taken in VerifyConnection, which crypto/tls calls on every connection.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection:   check.verify,
	}, nil
}

type verifier struct {
	host, name  string
	roots       *x509.CertPool
	thumbprints []string
	insecure    bool
}

func (v *verifier) verify(state tls.ConnectionState) error {
	if v.insecure {
		return nil
	}
	if len(state.PeerCertificates) == 0 {
		return &UntrustedError{Host: v.host, Err: errors.New("no certificate presented")}
	}
	leaf := state.PeerCertificates[0]
	presented := thumbprintsOf(leaf)
	for _, thumbprint := range presented {
		if slices.Contains(v.thumbprints, thumbprint) {
			return nil
		}
	}
	if len(v.thumbprints) > 0 && v.roots == nil {
		return &UntrustedError{Host: v.host, Presented: presented, Err: errors.New("no thumbprint matches")}
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName: v.name, Roots: v.roots, Intermediates: intermediates, CurrentTime: time.Now(),
	})
	if err != nil {
		return &UntrustedError{Host: v.host, Presented: presented, Err: err}
	}
	return nil
}

// thumbprintsOf returns the SHA-1 and SHA-256 thumbprints as vSphere writes them.
func thumbprintsOf(certificate *x509.Certificate) []string {
	short := sha1.Sum(certificate.Raw) //nolint:gosec // see the import
	long := sha256.Sum256(certificate.Raw)
	return []string{colons(short[:]), colons(long[:])}
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// normalThumbprint accepts upper and lower case, with or without colons.
func normalThumbprint(text string) (string, error) {
	digits := strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if len(digits) != sha1.Size*2 && len(digits) != sha256.Size*2 {
		return "", fmt.Errorf("thumbprint %q is neither SHA-1 (40 hex digits) nor SHA-256 (64)", text)
	}
	if strings.Trim(digits, "0123456789ABCDEF") != "" {
		return "", fmt.Errorf("thumbprint %q has characters that are not hex digits", text)
	}
	pairs := make([]string, 0, len(digits)/2)
	for pair := range slices.Chunk([]byte(digits), 2) {
		pairs = append(pairs, string(pair))
	}
	return strings.Join(pairs, ":"), nil
}

// newTransport makes the transport of one session. No proxy is taken from the environment: a gateway stands next to its
// vCenter, and a proxy meant for the Internet would only get in the way.
func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConns:        2 * maxReads,
		MaxIdleConnsPerHost: 2 * maxReads,
		IdleConnTimeout:     90 * time.Second,
	}
}
