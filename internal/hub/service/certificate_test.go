package service

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// made returns the paths of a new certificate for the name.
func made(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := makeSelfSigned(certFile, keyFile, []string{name, "127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	body, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	certFile, keyFile := made(t, "old.example.com")
	newCert, newKey := made(t, "new.example.com")
	var log bytes.Buffer
	c, err := openCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	c.now = func() time.Time { return at }
	name := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.DNSNames[0]
	}
	for _, step := range []struct {
		reason string
		do     func()
		after  time.Duration
		want   string
	}{
		{"nothing has changed", func() {}, recheck, "old.example.com"},
		{"the certificate is there, its key not yet", func() { copyFile(t, newCert, certFile) }, recheck, "old.example.com"},
		{"looked at a moment ago", func() { copyFile(t, newKey, keyFile) }, 0, "old.example.com"},
		{"both are there", func() {}, recheck, "new.example.com"},
		{"a file is gone", func() { _ = os.Remove(certFile) }, recheck, "new.example.com"},
		{"still gone", func() {}, recheck, "new.example.com"},
		{"nonsense", func() { _ = os.WriteFile(certFile, []byte("nonsense"), 0o600) }, recheck, "new.example.com"},
		{"right again", func() { copyFile(t, newCert, certFile) }, recheck, "new.example.com"},
	} {
		step.do()
		at = at.Add(step.after)
		if got := name(); got != step.want {
			t.Errorf("%s: served was %s, want %s", step.reason, got, step.want)
		}
	}
	if n := bytes.Count(log.Bytes(), []byte("not reloaded")); n != 3 {
		t.Errorf("the log tells of %d failures, want one for each state of the files: %s", n, &log)
	}
	if bytes.Contains(log.Bytes(), []byte("PRIVATE")) {
		t.Error("the log holds a key")
	}
}

func TestSelfSignedIsMadeOnce(t *testing.T) {
	certFile, keyFile := made(t, "hub.example.com")
	before, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := makeSelfSigned(certFile, keyFile, []string{"other.example.com"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(certFile)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a certificate that people trust was replaced (%v)", err)
	}
	c, err := openCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.current.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, host := range []string{"hub.example.com", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	first, err := loadSecret(file)
	if err != nil || len(first) != secretSize {
		t.Fatalf("made %d bytes, %v", len(first), err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file has mode %s, %v", info.Mode(), err)
	}
	again, err := loadSecret(file)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("read another secret (%v)", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecret(file); err == nil {
		t.Error("a secret that everybody can read is taken")
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecret(file); err == nil {
		t.Error("a short secret is taken")
	}
	if _, err := loadSecret(filepath.Join(t.TempDir(), "no", "secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

// TestNamesAreThoseOfTheListener: who tries a hub out from another machine calls it by an address.
func TestNamesAreThoseOfTheListener(t *testing.T) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var others []string
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			others = append(others, ip.IP.String())
		}
	}
	for listen, want := range map[string][]string{
		":8443":             append([]string{"localhost", "127.0.0.1"}, others...),
		"0.0.0.0:8443":      append([]string{"localhost", "127.0.0.1"}, others...),
		"[::]:8443":         append([]string{"localhost", "127.0.0.1"}, others...),
		"192.0.2.7:8443":    {"localhost", "192.0.2.7", "hub.example.com"},
		"h.example.com:443": {"h.example.com", "hub.example.com"},
	} {
		s := &service{cfg: Config{Listen: listen, AdvertiseURL: "https://hub.example.com:8443"}}
		got := s.names()
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%s: %s is missing in %v", listen, name, got)
			}
		}
		if slices.Contains(got, "0.0.0.0") || slices.Contains(got, "::") {
			t.Errorf("%s: nobody calls a hub that: %v", listen, got)
		}
	}
}
