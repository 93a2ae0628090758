package sessions_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// replica is a process that behaves as a gateway's, or as a test wants it to.
type replica struct {
	t        *testing.T
	identity ed25519.PrivateKey
	tls      *ecdsa.PrivateKey
	sealing  *seal.PrivateKey
	transfer *seal.PrivateKey

	// enrolment changes what it says of itself, before it is signed and after.
	before, after func(*gatewayapi.Enrolment)
	// info is what it says when it is asked who it is; nil is the truth.
	info func() gatewayapi.Info
	// extra handles what a test wants handled in a way of its own.
	extra map[string]http.HandlerFunc

	mu       sync.Mutex
	grant    gatewayapi.Grant
	refused  *hubapi.Problem
	leases   []gatewayapi.Lease
	hubs     []gatewayapi.HubInfo
	assigned []gatewayapi.Assignment
	acked    gatewayapi.Ack
	reports  []gatewayapi.Report
	boot     string
	frozen   bool
	listened bool // the hub has its event stream
	asked    int  // requests of the hub, but for those that come by themselves
	changed  chan struct{}
	log      *logBuffer
	// apart tells that it has a clock of its own.
	apart bool
	// loseGrants is how many grants are lost on their way; declines that it does not take any.
	loseGrants int
	declines   bool
}

func newReplica(t *testing.T) *replica {
	t.Helper()
	r := &replica{t: t, extra: map[string]http.HandlerFunc{}, changed: make(chan struct{}), boot: uuid.NewString()}
	var err error
	if _, r.identity, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	r.tls = r.newTLSKey()
	if r.sealing, err = seal.NewPrivateKey(); err != nil {
		t.Fatal(err)
	}
	if r.transfer, err = seal.NewPrivateKey(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) newTLSKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	return key
}

func (r *replica) csr(key *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		r.t.Error(err)
	}
	return der
}

func (r *replica) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the replica is as wanted.
func (r *replica) await(what string, limit time.Duration, fits func() bool) {
	r.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		r.mu.Lock()
		done, changed := fits(), r.changed
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			if testing.Verbose() && r.log != nil {
				r.t.Log(r.log.text.String())
			}
			r.t.Fatalf("not %s within %s: leases %+v, hubs %+v, assigned %d, acked %+v",
				what, limit, r.leases, r.hubs, len(r.assigned), r.acked)
		}
	}
}

func handle[Req, Resp any](r *replica, answer func(Req) Resp) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var in Req
		if err := hubapi.ReadJSON(w, req, &in); err != nil {
			hubapi.WriteProblem(w, hubapi.AsProblem(err))
			return
		}
		var out Resp
		r.set(func() { out = answer(in) })
		hubapi.WriteJSON(w, http.StatusOK, out)
	}
}

type none struct{}

// enrol goes through an enrolment and returns the refusal, nil when it got its identity.
func (r *replica) enrol(ctx context.Context, i *instance, fill func(*gatewayapi.Enrolment)) (*hubapi.Problem, error) {
	conn, err := tunnel.Dial(ctx, tunnel.DialConfig{
		URL: i.server.URL, Class: tunnel.ClassEnrol, OuterTLS: i.outer(), InnerTLS: r.inner(i, nil), Proxy: noProxy,
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	state := conn.ConnectionState()
	exporter, err := state.ExportKeyingMaterial(gatewayapi.ExporterLabel, nil, 32)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+gatewayapi.PathEnrol, handle(r, func(c gatewayapi.EnrolChallenge) gatewayapi.Enrolment {
		public, _ := r.identity.Public().(ed25519.PublicKey)
		e := gatewayapi.Enrolment{Name: "host", Version: "1.0", CSR: r.csr(r.tls), IdentityKey: public}
		fill(&e)
		if r.before != nil {
			r.before(&e)
		}
		e.Signature = ed25519.Sign(r.identity, e.Transcript(c.Nonce, exporter))
		if r.after != nil {
			r.after(&e)
		}
		return e
	}))
	mux.HandleFunc("POST "+gatewayapi.PathIdentity, func(w http.ResponseWriter, req *http.Request) {
		if r.loseGrants > 0 {
			r.loseGrants--
			panic(http.ErrAbortHandler)
		}
		if r.declines {
			hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeUntrusted, "no"))
			return
		}
		handle(r, func(g gatewayapi.Grant) gatewayapi.Taken {
			r.grant = g
			return gatewayapi.Taken{SealingKey: r.sealing.PublicKey()}
		})(w, req)
	})
	mux.HandleFunc("POST "+gatewayapi.PathRefusal, handle(r, func(p hubapi.Problem) none {
		r.refused = &p
		return none{}
	}))
	_ = conn.Serve(ctx, mux) // The hub ends it.
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refused != nil:
		return r.refused, nil
	case r.grant.Replica == "":
		return nil, errors.New("the hub ended the enrolment without a word")
	default:
		return nil, nil
	}
}

// pair goes through an enrolment with the token.
func (r *replica) pair(ctx context.Context, i *instance, token hubapi.PairingToken) (*hubapi.Problem, error) {
	return r.enrol(ctx, i, func(e *gatewayapi.Enrolment) {
		transfer := r.transfer.PublicKey()
		e.Pairing = &gatewayapi.PairingProof{
			ID: token.ID, Secret: token.Secret, TransferKey: transfer,
			Invitation: gatewayapi.Invite(token.Introduction, token.ID, transfer), SealingKey: r.sealing.PublicKey(),
			Voucher: token.Vouch(r.sealing.PublicKey()),
		}
	})
}

func (r *replica) mustPair(i *instance, gatewayID string) *replica {
	r.t.Helper()
	r.log = i.bench.log
	refused, err := r.pair(r.t.Context(), i, i.token(gatewayID))
	if err != nil || refused != nil {
		r.t.Fatalf("pairing: %v, refused %+v", err, refused)
	}
	return r
}

func (i *instance) outer() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// inner is the TLS of the tunnel, with the certificate where there is one.
func (i *instance) inner(certificate *tls.Certificate) *tls.Config {
	config := &tls.Config{
		RootCAs: i.bench.authority.Pool(), ServerName: gatewayapi.HubName, MinVersion: tls.VersionTLS13, Time: i.bench.clock.now,
	}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return config
}

func (r *replica) inner(i *instance, certificate *tls.Certificate) *tls.Config {
	config := i.inner(certificate)
	if r.apart {
		config.Time = nil
	}
	return config
}

func (r *replica) certificate() *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &tls.Certificate{Certificate: [][]byte{r.grant.Certificate}, PrivateKey: r.tls}
}

// connection is a tunnel of a replica.
type connection struct {
	done chan struct{}
	stop context.CancelFunc
}

// connect opens a tunnel and answers the hub. It fails when the hub does not take it.
func (r *replica) connect(i *instance) (*connection, error) {
	conn, err := tunnel.Dial(r.t.Context(), tunnel.DialConfig{
		URL: i.server.URL, Class: tunnel.ClassControl, OuterTLS: i.outer(), InnerTLS: r.inner(i, r.certificate()), Proxy: noProxy,
		Grace: time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &connection{done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.done)
		_ = conn.Serve(ctx, r.handler())
	}()
	r.t.Cleanup(func() {
		cancel()
		<-c.done
	})
	return c, nil
}

func (r *replica) mustConnect(i *instance) *connection {
	r.t.Helper()
	c, err := r.connect(i)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		gatewayapi.PathHub: handle(r, func(h gatewayapi.HubInfo) none { r.hubs = append(r.hubs, h); return none{} }),
		gatewayapi.PathLease: handle(r, func(l gatewayapi.Lease) none {
			r.leases = append(r.leases, l)
			return none{}
		}),
		gatewayapi.PathAssign: handle(r, func(a gatewayapi.Assignment) none { r.assigned = append(r.assigned, a); return none{} }),
		gatewayapi.PathAck:    handle(r, func(a gatewayapi.Ack) none { r.acked = a; return none{} }),
		gatewayapi.PathVerifyAccount: handle(r, func(gatewayapi.Account) hubapi.CloudAccountStatus {
			return hubapi.CloudAccountStatus{VCenterVersion: "8.0.3", InstanceUUID: "vc"}
		}),
		gatewayapi.PathPreview: handle(r, func(gatewayapi.Assignment) hubapi.Preview { return hubapi.Preview{} }),
		gatewayapi.PathRenew:   handle(r, func(none) gatewayapi.Renewal { return gatewayapi.Renewal{CSR: r.csr(r.tls)} }),
		gatewayapi.PathIdentity: handle(r, func(g gatewayapi.Grant) gatewayapi.Taken {
			r.grant = g
			return gatewayapi.Taken{SealingKey: r.sealing.PublicKey()}
		}),
		// It shares its key with whoever the hub says; what the invitation proves is the gateway's to check.
		gatewayapi.PathIntroduce: handle(r, func(gatewayapi.Introduction) gatewayapi.Introduced {
			return gatewayapi.Introduced{SealedKey: []byte("sealed")}
		}),
	} {
		mux.HandleFunc("POST "+path, h)
	}
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + gatewayapi.PathEvents: r.events, "GET " + gatewayapi.PathInfo: r.who,
		"POST " + gatewayapi.PathKeys: handle(r, func(gatewayapi.KeysWord) gatewayapi.KeysAnswer {
			return gatewayapi.KeysAnswer{Key: r.sealing.PublicKey()}
		}),
	} {
		if own := r.extra[pattern]; own != nil {
			h = own
		}
		mux.HandleFunc(pattern, h)
	}
	if h := r.extra["POST "+gatewayapi.PathInventory]; h != nil {
		mux.HandleFunc("POST "+gatewayapi.PathInventory, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		frozen := r.frozen
		if req.URL.Path != gatewayapi.PathLease && req.URL.Path != gatewayapi.PathHub {
			r.asked++
		}
		r.mu.Unlock()
		if frozen {
			<-req.Context().Done()
			return
		}
		mux.ServeHTTP(w, req)
	})
}

func (r *replica) who(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	info := gatewayapi.Info{ID: r.grant.Gateway, PublicKey: r.sealing.PublicKey(), Version: "2.0"}
	r.mu.Unlock()
	if r.info != nil {
		info = r.info()
	}
	hubapi.WriteJSON(w, http.StatusOK, info)
}

func (r *replica) events(w http.ResponseWriter, req *http.Request) {
	w.WriteHeader(http.StatusOK)
	r.set(func() { r.listened = true })
	sent := 0
	for {
		r.mu.Lock()
		reports, changed := r.reports[sent:], r.changed
		sent = len(r.reports)
		r.mu.Unlock()
		for _, report := range reports {
			if json.NewEncoder(w).Encode(report) != nil {
				return
			}
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-req.Context().Done():
			return
		}
	}
}

// report publishes a report under the newest epoch, changed where the test wants.
func (r *replica) report(report gatewayapi.Report, change ...func(*gatewayapi.Report)) {
	r.set(func() {
		report.Seq, report.Boot, report.Time = int64(len(r.reports)+1), r.boot, time.Now()
		if n := len(r.leases); n > 0 {
			report.Epoch = r.leases[n-1].Epoch
		}
		for _, c := range change {
			c(&report)
		}
		r.reports = append(r.reports, report)
	})
}

func (r *replica) awaitAcked() {
	r.t.Helper()
	r.await("acknowledged", 10*time.Second, func() bool {
		return r.acked == gatewayapi.Ack{Boot: r.boot, Seq: int64(len(r.reports))}
	})
}

// holds tells whether the last word on the lease was that the replica has it.
func (r *replica) holds() bool {
	n := len(r.leases)
	return n > 0 && r.leases[n-1].Holder
}

func (r *replica) epoch() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases[len(r.leases)-1].Epoch
}
