package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// settings keeps settings in memory.
type settings struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (s *settings) Setting(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.kept[name]; ok {
		return value, nil
	}
	return nil, store.ErrNoRecord
}

func (s *settings) PutSettingIfAbsent(_ context.Context, name string, value []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept[name]; !ok {
		s.kept[name] = value
	}
	return s.kept[name], nil
}

var (
	secret = [32]byte{1, 2, 3}
	me     = authority.ReplicaID{Project: "default", Gateway: uuid.NewString(), Replica: uuid.NewString()}
)

func openAuthority(t *testing.T, kept *settings) *authority.Authority {
	t.Helper()
	a, err := authority.Open(t.Context(), kept, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newSettings() *settings { return &settings{kept: map[string][]byte{}} }

func TestKept(t *testing.T) {
	kept := newSettings()
	var group sync.WaitGroup
	pins := make(chan []byte, 10)
	for range cap(pins) {
		group.Go(func() {
			a, err := authority.Open(t.Context(), kept, secret, nil)
			if err != nil {
				t.Error(err)
				return
			}
			pins <- a.Pin()
		})
	}
	group.Wait()
	close(pins)
	first := openAuthority(t, kept)
	for pin := range pins {
		if !bytes.Equal(pin, first.Pin()) {
			t.Error("two that started at once have different authorities")
		}
	}
	for name, value := range kept.kept {
		if bytes.Contains(value, []byte("CERTIFICATE")) || bytes.Contains(value, first.Pin()) || bytes.Contains(value, []byte(`"key"`)) {
			t.Errorf("setting %s can be read", name)
		}
		if _, err := authority.Open(t.Context(), kept, [32]byte{9}, nil); !errors.Is(err, authority.ErrSecret) {
			t.Errorf("with another secret: %v", err)
		}
		for _, i := range []int{0, len(value) / 2, len(value) - 1} {
			damaged := newSettings()
			damaged.kept[name] = bytes.Clone(value)
			damaged.kept[name][i] ^= 1
			if _, err := authority.Open(t.Context(), damaged, secret, nil); !errors.Is(err, authority.ErrSecret) {
				t.Errorf("with byte %d changed: %v", i, err)
			}
		}
		if _, err := authority.Open(t.Context(), &settings{kept: map[string][]byte{name: value[:4]}}, secret, nil); !errors.Is(err, authority.ErrSecret) {
			t.Errorf("truncated: %v", err)
		}
	}
}

func request(t *testing.T, key crypto.Signer, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	template := &x509.CertificateRequest{}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSignReplicaIgnoresWhatIsAskedFor(t *testing.T) {
	a := openAuthority(t, newSettings())
	key := newKey(t, elliptic.P256())
	other, err := url.Parse(gatewayapi.ReplicaURI("other", uuid.NewString(), uuid.NewString()))
	if err != nil {
		t.Fatal(err)
	}
	der, until, err := a.SignReplica(request(t, key, func(r *x509.CertificateRequest) {
		r.Subject = pkix.Name{CommonName: gatewayapi.HubName}
		r.DNSNames = []string{gatewayapi.HubName}
		r.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		r.URIs = []*url.URL{other}
		r.ExtraExtensions = []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}, // CA:true
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x25, 0x00}},
		}
	}), me)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if cert.IsCA || len(cert.DNSNames)+len(cert.IPAddresses) > 0 || cert.Subject.CommonName != "" || len(cert.URIs) != 1 {
		t.Errorf("the certificate has what was asked for: %+v", cert)
	}
	if got, err := authority.ReplicaOf(cert); err != nil || got != me {
		t.Errorf("it is for %+v, %v", got, err)
	}
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(cert.UnknownExtKeyUsage) > 0 {
		t.Errorf("it is good for %v %v", cert.ExtKeyUsage, cert.UnknownExtKeyUsage)
	}
	if now := time.Now(); !cert.NotAfter.Equal(until) || cert.NotBefore.After(now.Add(-59*time.Minute)) ||
		until.After(now.Add(authority.ReplicaLifetime)) {
		t.Errorf("it is good from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool()}); err == nil {
		t.Error("a replica can be a hub")
	}
	again, _, err := a.SignReplica(request(t, key, nil), me)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := x509.ParseCertificate(again); err != nil || second.SerialNumber.Cmp(cert.SerialNumber) == 0 {
		t.Errorf("two certificates have one serial number: %v", err)
	}
}

func TestSignReplicaRefuses(t *testing.T) {
	a := openAuthority(t, newSettings())
	good := request(t, newKey(t, elliptic.P256()), nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	for reason, der := range map[string][]byte{
		"an RSA key":        request(t, rsaKey, nil),
		"a P-384 key":       request(t, newKey(t, elliptic.P384()), nil),
		"no proof":          broken,
		"nothing":           nil,
		"noise":             []byte("noise"),
		"trailing bytes":    append(bytes.Clone(good), 0),
		"a giant of a name": request(t, newKey(t, elliptic.P256()), func(r *x509.CertificateRequest) { r.DNSNames = []string{string(bytes.Repeat([]byte("a"), 9000))} }),
	} {
		if _, _, err := a.SignReplica(der, me); !errors.Is(err, authority.ErrRequest) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.SignReplica(request(t, private, nil), me); err != nil {
		t.Errorf("an Ed25519 key: %v", err)
	}
}

func TestReplicaOf(t *testing.T) {
	for _, uri := range []string{
		"spiffe://palette/project/default/gateway/" + me.Gateway,
		"spiffe://evil/project/default/gateway/" + me.Gateway + "/replica/" + me.Replica,
		"spiffe://palette/project/default/gateway/" + me.Gateway + "/replica/" + me.Replica + "/",
		"spiffe://palette/project/a%2Fb/gateway/" + me.Gateway + "/replica/" + me.Replica,
		"spiffe://palette/project/default/gateway/x/replica/" + me.Replica,
		"spiffe://palette/x/default/y/" + me.Gateway + "/z/" + me.Replica,
		"https://palette/project/default/gateway/" + me.Gateway + "/replica/" + me.Replica,
	} {
		parsed, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := authority.ReplicaOf(&x509.Certificate{URIs: []*url.URL{parsed}}); !errors.Is(err, authority.ErrNotReplica) {
			t.Errorf("%s is taken for %+v, %v", uri, id, err)
		}
	}
}

func TestServer(t *testing.T) {
	now := time.Now()
	a, err := authority.Open(t.Context(), newSettings(), secret, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Server()
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Certificate) != 2 {
		t.Fatalf("the chain has %d certificates", len(first.Certificate))
	}
	ca, err := x509.ParseCertificate(first.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	if pin := sha256.Sum256(ca.RawSubjectPublicKeyInfo); !bytes.Equal(pin[:], a.Pin()) {
		t.Error("the chain has no certificate that the pin is of")
	}
	_, err = first.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: gatewayapi.HubName, CurrentTime: now})
	if err != nil {
		t.Error(err)
	}
	now = now.Add(11 * time.Hour)
	if same, err := a.Server(); err != nil || same != first {
		t.Errorf("it is made anew before half its life: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if next, err := a.Server(); err != nil || next == first || !next.Leaf.NotAfter.After(now.Add(23*time.Hour)) {
		t.Errorf("it is not made anew after half its life: %v", err)
	}
}
