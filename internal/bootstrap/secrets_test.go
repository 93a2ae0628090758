package bootstrap_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

func newSecrets(t *testing.T) bootstrap.Secrets {
	t.Helper()
	s, err := bootstrap.NewSecrets(born)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAuthorities uses each authority as kubeadm does: it signs a certificate with it and verifies that.
func TestAuthorities(t *testing.T) {
	s := newSecrets(t)
	for name, pair := range map[string]bootstrap.KeyPair{
		"kubernetes": s.CA, "etcd-ca": s.EtcdCA, "front-proxy-ca": s.FrontProxyCA,
	} {
		t.Run(name, func(t *testing.T) {
			ca, err := tls.X509KeyPair([]byte(pair.Certificate), []byte(pair.Key))
			if err != nil {
				t.Fatal(err)
			}
			if ca.Leaf.Subject.CommonName != name || !ca.Leaf.IsCA || ca.Leaf.SerialNumber.Sign() <= 0 {
				t.Errorf("%s, authority %t, serial %v", ca.Leaf.Subject, ca.Leaf.IsCA, ca.Leaf.SerialNumber)
			}
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{
				SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"leaf"},
				NotBefore: born, NotAfter: born.AddDate(9, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}
			der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.Leaf)
			for _, at := range []time.Time{born, born.AddDate(8, 0, 0)} {
				if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "leaf", CurrentTime: at}); err != nil {
					t.Errorf("at %v: %v", at, err)
				}
			}
			if got, want := ca.Leaf.NotAfter, born.AddDate(10, 0, 0); !got.Equal(want) {
				t.Errorf("valid until %v, want %v", got, want)
			}
			if !ca.Leaf.NotBefore.Before(born) {
				t.Error("a node whose clock is a little late would refuse it")
			}
		})
	}
}

func TestCACertHash(t *testing.T) {
	s := newSecrets(t)
	block, _ := pem.Decode([]byte(s.CA.Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	if diff := cmp.Diff("sha256:"+hex.EncodeToString(sum[:]), s.CACertHash()); diff != "" {
		t.Error(diff)
	}
	if got := (bootstrap.Secrets{}).CACertHash(); got != "" {
		t.Errorf("no certificate has the hash %q", got)
	}
}

func TestTokens(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	seen := map[string]bool{}
	for range 5 {
		token := newSecrets(t).Token
		if !form.MatchString(token) || seen[token] {
			t.Errorf("token %q", token)
		}
		seen[token] = true
	}
}

func TestSecretsRoundTrip(t *testing.T) {
	s := newSecrets(t)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got bootstrap.Secrets
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	s := newSecrets(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("made", "secrets", s, "ca", s.CA, "sa", s.ServiceAccount)
	texts := []string{
		fmt.Sprint(s, &s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%+v", struct{ S any }{s}), fmt.Sprintf("%+v %#v", s.CA, s.ServiceAccount),
	}
	if !strings.Contains(log.String(), "made") {
		t.Fatal("nothing was logged")
	}
	texts = append(texts, log.String())
	for _, text := range texts {
		if strings.Contains(text, s.Token) || strings.Contains(text, "KEY") || strings.Contains(text, "CERTIFICATE") {
			t.Errorf("printed: %s", text)
		}
	}
}

// TestPayloadCarriesPKI compares what control planes are given with the secrets, file by file.
func TestPayloadCarriesPKI(t *testing.T) {
	s := fixedSecrets(t)
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		if m.Join == cluster.JoinWorker {
			return // TestWorkersGetNoKeys
		}
		files := decode(t, m).files()
		for path, want := range map[string]string{
			"ca.crt": s.CA.Certificate, "ca.key": s.CA.Key, "etcd/ca.crt": s.EtcdCA.Certificate, "etcd/ca.key": s.EtcdCA.Key,
			"front-proxy-ca.crt": s.FrontProxyCA.Certificate, "front-proxy-ca.key": s.FrontProxyCA.Key,
			"sa.key": s.ServiceAccount.Private, "sa.pub": s.ServiceAccount.Public,
		} {
			if diff := cmp.Diff(want, files["/etc/kubernetes/pki/"+path]); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	})
}

func TestSecretsThatDoNotFitAreRefused(t *testing.T) {
	other := newSecrets(t)
	for _, tt := range []struct {
		reason string
		change func(*bootstrap.Secrets)
	}{
		{"none", func(s *bootstrap.Secrets) { *s = bootstrap.Secrets{} }},
		{"cluster key of another authority", func(s *bootstrap.Secrets) { s.CA.Key = other.CA.Key }},
		{"no etcd key", func(s *bootstrap.Secrets) { s.EtcdCA.Key = "" }},
		{"broken front proxy certificate", func(s *bootstrap.Secrets) { s.FrontProxyCA.Certificate = "x" }},
		{"another service account's public key", func(s *bootstrap.Secrets) {
			s.ServiceAccount.Public = other.ServiceAccount.Public
		}},
		{"no service account key", func(s *bootstrap.Secrets) { s.ServiceAccount.Private = "" }},
		{"malformed token", func(s *bootstrap.Secrets) { s.Token = "abc" }},
	} {
		s := fixedSecrets(t)
		tt.change(&s)
		_, err := bootstrap.Payload(machine(cluster.JoinWorker, "v1.34.1", shapes[0]), s)
		if !errors.Is(err, bootstrap.ErrSecrets) {
			t.Errorf("%s: got %v", tt.reason, err)
		} else if strings.Contains(err.Error(), s.Token) && s.Token != "" {
			t.Errorf("%s: the error has the token", tt.reason)
		}
	}
}
