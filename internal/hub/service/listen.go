package service

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
)

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}

// listen opens the hub's port, with TLS unless a proxy has it.
func (s *service) listen(ctx context.Context) (net.Listener, error) {
	var config *tls.Config
	if !s.cfg.PlainHTTP {
		pair, err := s.certificate()
		if err != nil {
			return nil, err
		}
		config = &tls.Config{
			GetCertificate: pair.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		}
	}
	listener, err := listen(ctx, s.cfg.Listen)
	if err != nil || config == nil {
		return listener, err
	}
	return tls.NewListener(listener, config), nil
}

// certificate opens the hub's certificate, and makes one where none was given.
func (s *service) certificate() (*certificate, error) {
	certFile, keyFile := s.cfg.TLSCert, s.cfg.TLSKey
	if certFile == "" {
		certFile, keyFile = filepath.Join(s.cfg.DataDir, "tls.crt"), filepath.Join(s.cfg.DataDir, "tls.key")
		if err := makeSelfSigned(certFile, keyFile, s.names(), time.Now()); err != nil {
			return nil, fmt.Errorf("making a certificate: %w", err)
		}
	}
	pair, err := openCertificate(certFile, keyFile, s.cfg.Log)
	if err != nil {
		return nil, err
	}
	if s.cfg.TLSCert == "" {
		fmt.Fprintf(s.cfg.Out, "The certificate %s is self-signed; its SHA-256 fingerprint is\n  %s\n"+
			"It is good for %s; --advertise-url adds a name when it is made.\n"+
			"Clients trust it by that file (ca_certificate), for trying out.\n",
			certFile, fingerprint(pair.current), certifiedNames(pair.current))
	}
	return pair, nil
}

// names are those under which the hub may be reached: for a hub that listens everywhere, all addresses of its machine.
func (s *service) names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	if host, _, err := net.SplitHostPort(s.cfg.Listen); err == nil {
		if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
			names = append(names, ownAddresses()...)
		} else {
			names = append(names, host)
		}
	}
	if u, err := url.Parse(s.cfg.AdvertiseURL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ownAddresses are the addresses by which other machines may reach this one.
func ownAddresses() []string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // the certificate has the other names
	}
	var own []string
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			own = append(own, network.IP.String())
		}
	}
	return own
}

// certifiedNames are the names and addresses that a certificate is good for.
func certifiedNames(pair *tls.Certificate) string {
	leaf := pair.Leaf
	if leaf == nil {
		return ""
	}
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return strings.Join(names, ", ")
}

// greet tells a person where the hub is and, as long as nobody can enter, how to get in.
func (s *service) greet(ctx context.Context, at Addresses) {
	s.cfg.Log.InfoContext(ctx, "hub listens", "address", at.Hub, "metrics_address", at.Metrics,
		"tls", !s.cfg.PlainHTTP, "version", s.cfg.Version)
	scheme := "https"
	if s.cfg.PlainHTTP {
		scheme = "http"
	}
	fmt.Fprintf(s.cfg.Out, "The hub listens at %s://%s\n", scheme, at.Hub)
	tokens, err := access.NewTokens(s.records, nil).List(ctx, "")
	if err != nil || len(tokens) > 0 || s.issuers != nil {
		return
	}
	where := "--data-dir " + s.cfg.DataDir
	if s.cfg.shared() {
		where = "--database postgres://..."
	}
	fmt.Fprintf(s.cfg.Out, "Nobody can enter yet. Make a token:\n"+
		"  terraform-provider-palette hub token create %s --project default --role admin\n", where)
}

// quiet lets the log have what net/http has to say, which is mostly about clients that hang up, at its lowest level.
func quiet(to *slog.Logger) *log.Logger { return slog.NewLogLogger(to.Handler(), slog.LevelDebug) }
