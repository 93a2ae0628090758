package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// recheck is how long a certificate is used without looking whether its files have changed.
const recheck = time.Second

// certificate is the hub's certificate in its files.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string // of the files that were read last, also if they were no good
	looked  time.Time
}

// openCertificate reads the files.
func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	c.stamp = c.state()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	c.current, c.looked = &pair, c.now()
	return c, nil
}

// get is for tls.Config.GetCertificate. It reads the files again when they have changed; while they are no good, as
// between the writing of the one and of the other, the old certificate is served.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.looked) < recheck {
		return c.current, nil
	}
	c.looked = now
	stamp := c.state()
	if stamp == c.stamp {
		return c.current, nil
	}
	c.stamp = stamp
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.WarnContext(context.Background(), "certificate not reloaded", "file", c.certFile, "error", err)
		return c.current, nil
	}
	c.log.InfoContext(context.Background(), "certificate reloaded", "file", c.certFile, "fingerprint", fingerprint(&pair))
	c.current = &pair
	return c.current, nil
}

// state tells the files' state apart from any other.
func (c *certificate) state() string {
	var state strings.Builder
	for _, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintf(&state, "%v;", err)
			continue
		}
		fmt.Fprintf(&state, "%d %d;", info.Size(), info.ModTime().UnixNano())
	}
	return state.String()
}

// fingerprint is the SHA-256 of the certificate in upper-case hex with colons, as browsers and openssl show it.
func fingerprint(pair *tls.Certificate) string {
	sum := sha256.Sum256(pair.Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// selfSignedFor is how long a self-signed certificate is good for: people trust it by hand, once.
const selfSignedFor = 10 * 365 * 24 * time.Hour

// makeSelfSigned makes a certificate for the names and writes it to the files unless they are there already.
func makeSelfSigned(certFile, keyFile string, names []string, now time.Time) error {
	if _, err := os.Stat(certFile); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("making a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "palette hub"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	// A key that is left of an earlier try belongs to no certificate.
	if err := os.Remove(keyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing a key: %w", err)
	}
	if err := writeNew(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	if err := writeNew(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	if err := os.Chmod(certFile, 0o644); err != nil { //nolint:gosec // A certificate is for all to read.
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}
