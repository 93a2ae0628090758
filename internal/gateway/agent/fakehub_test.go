package agent

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
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a hub's own CA.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, cert: cert}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) sign(public any, change func(*x509.Certificate)) []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		panic(err)
	}
	return der
}

// server is the certificate of the hub's end, with the CA's behind it.
func (a *authority) server(name string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der := a.sign(key.Public(), func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// replica is a replica's certificate for the key of a request.
func (a *authority) replica(csr []byte, project, gateway, replica string, until time.Time) []byte {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		panic(err)
	}
	uri, err := url.Parse(gatewayapi.ReplicaURI(project, gateway, replica))
	if err != nil {
		panic(err)
	}
	return a.sign(request.PublicKey, func(c *x509.Certificate) {
		c.URIs, c.ExtKeyUsage, c.NotAfter = []*url.URL{uri}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, until
	})
}

// fakeHub is the hub's end: it enrols whoever has the secret, and keeps the sessions of replicas.
type fakeHub struct {
	t        *testing.T
	ca       *authority
	instance string
	gateway  string
	server   *httptest.Server
	cert     tls.Certificate

	// stranger makes the hub believe no certificate of its own authority.
	stranger atomic.Pointer[authority]

	mu sync.Mutex
	// grant changes a grant before it is sent; enrolled sees each enrolment; the hub lies in tests by them.
	grant     func(*gatewayapi.Grant)
	enrolled  func(gatewayapi.Enrolment) *hubapi.Problem
	afterward func(c *gatewayapi.Client, taken gatewayapi.Taken)
	validity  time.Duration
	info      func() gatewayapi.HubInfo
	refuse    int  // a status that dials are answered with
	turnsAway bool // those that have a session with it
	dials     int
	headers   []string
	enrolment []gatewayapi.Enrolment
	taken     []gatewayapi.Taken
	sessions  chan *tunnel.Session
	open      []*tunnel.Session
	running   sync.WaitGroup
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{
		t: t, ca: newAuthority(t), instance: uuid.NewString(), gateway: uuid.NewString(), validity: time.Hour,
		sessions: make(chan *tunnel.Session, 100),
	}
	h.cert = h.ca.server(gatewayapi.HubName)
	h.start("127.0.0.1:0")
	t.Cleanup(h.stop)
	return h
}

func (h *fakeHub) start(address string) {
	h.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(h.accept)}}
	h.server.Start()
}

// stop is the hub's sudden end.
func (h *fakeHub) stop() {
	h.server.CloseClientConnections()
	h.mu.Lock()
	open := h.open
	h.open = nil
	h.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
	h.server.Close()
	h.running.Wait()
}

func (h *fakeHub) url() string { return "http://" + h.server.Listener.Addr().String() }

func (h *fakeHub) accept(w http.ResponseWriter, r *http.Request) {
	h.running.Add(1)
	defer h.running.Done()
	h.mu.Lock()
	h.dials++
	h.headers = append(h.headers, r.Header.Get(gatewayapi.HeaderInstances))
	refuse := h.refuse
	if h.turnsAway && slices.Contains(strings.Split(r.Header.Get(gatewayapi.HeaderInstances), ","), h.instance) {
		refuse = http.StatusConflict
	}
	h.mu.Unlock()
	if refuse != 0 {
		w.Header().Set("Retry-After", "3")
		http.Error(w, "not now", refuse)
		return
	}
	believed := h.ca
	if stranger := h.stranger.Load(); stranger != nil {
		believed = stranger
	}
	s, err := tunnel.Accept(w, r, tunnel.AcceptConfig{TLS: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{h.cert}, ClientCAs: believed.pool(),
	}})
	if err != nil {
		return
	}
	h.mu.Lock()
	h.open = append(h.open, s)
	h.mu.Unlock()
	if s.Class() == tunnel.ClassEnrol {
		h.enrol(s)
		_ = s.Close()
		return
	}
	info := gatewayapi.HubInfo{Instance: h.instance, Version: "test", Replicas: map[string]string{h.instance: ""}}
	if h.info != nil {
		info = h.info()
	}
	if gatewayapi.NewClient(s).TellHub(context.Background(), info) == nil {
		h.sessions <- s
	}
}

func (h *fakeHub) enrol(s *tunnel.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := gatewayapi.NewClient(s)
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	e, err := c.Enrol(ctx, gatewayapi.EnrolChallenge{Nonce: nonce})
	if err != nil {
		return
	}
	state := s.ConnectionState()
	exporter, err := state.ExportKeyingMaterial(gatewayapi.ExporterLabel, nil, 32)
	if err != nil || !e.Signed(nonce, exporter) {
		h.t.Errorf("the enrolment is not signed: %v", err)
		return
	}
	h.mu.Lock()
	h.enrolment = append(h.enrolment, e)
	enrolled, change, validity, afterward := h.enrolled, h.grant, h.validity, h.afterward
	h.mu.Unlock()
	if enrolled != nil {
		if problem := enrolled(e); problem != nil {
			_ = c.Refuse(ctx, problem)
			return
		}
	}
	replica := uuid.NewString()
	if e.Rejoin != nil {
		replica = e.Rejoin.Replica
	}
	g := gatewayapi.Grant{
		Gateway: h.gateway, Project: "default", GatewayName: "edge", Replica: replica, CA: h.ca.pem(),
		Certificate: h.ca.replica(e.CSR, "default", h.gateway, replica, time.Now().Add(validity)),
	}
	if change != nil {
		change(&g)
	}
	taken, err := c.Grant(ctx, g)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.taken = append(h.taken, taken)
	h.mu.Unlock()
	if afterward != nil {
		afterward(c, taken)
	}
}

// token is a pairing token for the hub's gateway.
func (h *fakeHub) token(change ...func(*hubapi.PairingToken)) string {
	pin := sha256.Sum256(h.ca.cert.RawSubjectPublicKeyInfo)
	token := hubapi.PairingToken{
		ID: uuid.NewString(), Gateway: h.gateway, Project: "default", Secret: hubapi.NewSecret(), Pin: pin[:],
		Introduction: hubapi.NewSecret(),
	}
	for _, c := range change {
		c(&token)
	}
	return token.String()
}

// pair pairs a new replica.
func (h *fakeHub) pair(dir string, change ...func(*hubapi.PairingToken)) (Paired, error) {
	return Pair(h.t.Context(), PairConfig{Hub: h.url(), Token: h.token(change...), Name: "host", DataDir: dir, Version: "test"})
}

// session waits for the next session.
func (h *fakeHub) session() *tunnel.Session {
	h.t.Helper()
	select {
	case s := <-h.sessions:
		return s
	case <-time.After(20 * time.Second):
		h.t.Fatal("no session within 20 seconds")
		return nil
	}
}

// runAgent runs a replica until the test ends or the returned function is called.
func runAgent(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// clientCertificate is one that is no server's.
func clientCertificate(a *authority) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der := a.sign(key.Public(), func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{gatewayapi.HubName}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}
