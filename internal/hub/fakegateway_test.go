package hub_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

const systemID = "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001"

// fakeGateway answers the gateway's paths from what a test sets, and remembers what it was asked.
type fakeGateway struct {
	mu        sync.Mutex
	boot      string
	seq       int64
	reports   []gatewayapi.Report
	changed   chan struct{}
	acked     gatewayapi.Ack
	assigned  []gatewayapi.Assignment
	previews  []gatewayapi.Assignment
	verified  []gatewayapi.Account
	queries   []gatewayapi.InventoryRequest
	after     []string // cursors that event streams were asked for
	refuse    map[string]*hubapi.Problem
	observe   hubapi.ClusterStatus
	preview   hubapi.Preview
	down      bool
	loseAcks  int           // how many acknowledgements get lost
	cut       chan struct{} // closed to end open streams
	handovers []gatewayapi.HandoverRequest
}

func newFakeGateway() *fakeGateway {
	return &fakeGateway{
		boot: "boot-1", changed: make(chan struct{}), cut: make(chan struct{}), refuse: map[string]*hubapi.Problem{},
	}
}

// RoundTrip makes the fake its own transport, so that it can be down.
type fakeTransport struct {
	gateway *fakeGateway
	next    http.RoundTripper
}

func (t fakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.gateway.mu.Lock()
	down := t.gateway.down
	t.gateway.mu.Unlock()
	if down {
		return nil, http.ErrServerClosed
	}
	return t.next.RoundTrip(r)
}

func (g *fakeGateway) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+gatewayapi.PathInfo, func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteJSON(w, http.StatusOK, gatewayapi.Info{ID: systemID, PublicKey: []byte("key"), Version: "1.2.3"})
	})
	mux.HandleFunc("POST "+gatewayapi.PathVerifyAccount, answerTo(g, func(a gatewayapi.Account) any {
		g.verified = append(g.verified, a)
		return hubapi.CloudAccountStatus{VCenterVersion: "8.0.3", InstanceUUID: "vc-uuid"}
	}))
	mux.HandleFunc("POST "+gatewayapi.PathAnchor, answerTo(g, func(r gatewayapi.AnchorRequest) any {
		var answer gatewayapi.AnchorAnswer
		for _, c := range r.Clusters {
			c.SealedSecrets = append([]byte(r.Account.Spec.Username+":"), c.SealedSecrets...)
			answer.Clusters = append(answer.Clusters, c)
		}
		return answer
	}))
	mux.HandleFunc("POST "+gatewayapi.PathInventory, answerTo(g, func(q gatewayapi.InventoryRequest) any {
		g.queries = append(g.queries, q)
		return inventory.Objects{Datacenters: []inventory.Datacenter{{Object: inventory.Object{Name: "dc-north"}}}}
	}))
	mux.HandleFunc("POST "+gatewayapi.PathPreview, answerTo(g, func(a gatewayapi.Assignment) any {
		g.previews = append(g.previews, a)
		return g.preview
	}))
	mux.HandleFunc("POST "+gatewayapi.PathObserve, answerTo(g, func(gatewayapi.Assignment) any { return g.observe }))
	mux.HandleFunc("POST "+gatewayapi.PathAssign, answerTo(g, func(a gatewayapi.Assignment) any {
		g.assigned = append(g.assigned, a)
		return struct{}{}
	}))
	mux.HandleFunc("POST "+gatewayapi.PathAck, answerTo(g, func(a gatewayapi.Ack) any {
		if g.loseAcks > 0 {
			g.loseAcks--
			panic(http.ErrAbortHandler)
		}
		g.acked = a
		g.wake()
		return struct{}{}
	}))
	mux.HandleFunc("POST "+gatewayapi.PathHandover, answerTo(g, func(r gatewayapi.HandoverRequest) any {
		g.handovers = append(g.handovers, r)
		var answer gatewayapi.HandoverAnswer
		for _, c := range r.Clusters {
			answer.Clusters = append(answer.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: append([]byte("re"), c.SealedSecrets...)})
		}
		return answer
	}))
	mux.HandleFunc("GET "+gatewayapi.PathEvents, g.events)
	return mux
}

func answerTo[T any](g *fakeGateway, fn func(T) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := hubapi.ReadJSON(w, r, &in); err != nil {
			hubapi.WriteProblem(w, hubapi.AsProblem(err))
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if p := g.refuse[r.URL.Path]; p != nil {
			hubapi.WriteProblem(w, p)
			return
		}
		hubapi.WriteJSON(w, http.StatusOK, fn(in))
	}
}

func (g *fakeGateway) events(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	g.mu.Lock()
	g.after = append(g.after, r.URL.Query().Get("boot")+"/"+r.URL.Query().Get("after"))
	if r.URL.Query().Get("boot") != g.boot {
		after = 0
	}
	cut := g.cut
	g.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	for {
		g.mu.Lock()
		changed := g.changed
		for _, report := range g.reports {
			if report.Seq > after {
				after = report.Seq
				_ = json.NewEncoder(w).Encode(report)
			}
		}
		g.mu.Unlock()
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (g *fakeGateway) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// set changes the fake under its lock.
func (g *fakeGateway) set(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
}

// report publishes a report.
func (g *fakeGateway) report(r gatewayapi.Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	r.Seq, r.Boot, r.Time = g.seq, g.boot, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g.reports = append(g.reports, r)
	g.wake()
}

// restart makes the gateway forget everything and cuts its streams.
func (g *fakeGateway) restart(boot string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.boot, g.seq, g.reports = boot, 0, nil
	close(g.cut)
	g.cut = make(chan struct{})
}

// cutStreams ends open streams.
func (g *fakeGateway) cutStreams() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.cut)
	g.cut = make(chan struct{})
}

// waitAcked waits until everything published is acknowledged.
func (g *fakeGateway) waitAcked(t *testing.T) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		g.mu.Lock()
		done := g.acked == gatewayapi.Ack{Boot: g.boot, Seq: g.seq}
		changed, acked := g.changed, g.acked
		g.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("reports were not acknowledged: acked %+v", acked)
		}
	}
}

func (g *fakeGateway) assignments() []gatewayapi.Assignment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]gatewayapi.Assignment(nil), g.assigned...)
}
