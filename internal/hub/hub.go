// Package hub owns the management plane: the REST API that clients speak, the records behind it, and the conversation
// with the gateways that do the work. It decides who may write what and keeps what gateways report; it knows no
// vCenter, no Kubernetes and no Terraform. Embedded in a provider and as a service it is the same handler.
package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Config is what a hub needs.
type Config struct {
	Store store.Store
	// Gateways knows the ways to gateways. NewSystemGateway is enough for a hub with one gateway beside it.
	Gateways GatewayDirectory
	Version  string
	// Log may be nil.
	Log *slog.Logger
	// Clock may be nil: the system's.
	Clock func() time.Time
	// Authenticate tells who makes a request; nil takes everyone for the owner, as in embedded mode, where the transport
	// already decided. An error that holds no *hubapi.Problem is the hub's own trouble.
	Authenticate func(*http.Request) (Principal, error)
	// Pin is the SHA-256 of the public key of the authority that gateways know the hub by; empty lets no process be paired
	// as a gateway.
	Pin []byte
	// Good tells whether somebody who was let in still would be; those who were revoked have their event streams ended. Nil
	// is always.
	Good func(context.Context, Principal) bool
	// Source tells where a request comes from; nil is the address of its connection.
	Source func(*http.Request) string
	// Audit keeps an entry of the audit log; nil keeps none, as in embedded mode, where there is but one to do anything.
	Audit func(context.Context, store.AuditEntry) error
	// Instrument wraps the handler of each route, for metrics; the zero route stands for where there is none. It may be nil.
	Instrument func(route Route, next http.Handler) http.Handler
}

// Hub is a management plane. Its handler answers at once; Run has to be running for reports of gateways to arrive.
type Hub struct {
	store        store.Store
	gateways     GatewayDirectory
	version      string
	log          *slog.Logger
	now          func() time.Time
	authenticate func(*http.Request) (Principal, error)
	pin          []byte
	good         func(context.Context, Principal) bool
	source       func(*http.Request) string
	audit        func(context.Context, store.AuditEntry) error
	instrument   func(route Route, next http.Handler) http.Handler

	feed    *feed
	given   *givenList
	resumes *resumes
	stopped chan struct{}
}

// New returns a hub.
func New(cfg Config) (*Hub, error) {
	if cfg.Store == nil || cfg.Gateways == nil {
		return nil, errors.New("a hub needs a store and a directory of gateways")
	}
	h := &Hub{
		store: cfg.Store, gateways: cfg.Gateways, version: cfg.Version, log: cfg.Log, now: cfg.Clock,
		authenticate: cfg.Authenticate, good: cfg.Good, source: cfg.Source, audit: cfg.Audit, instrument: cfg.Instrument, pin: cfg.Pin,
		feed: newFeed(cfg.Store), given: newGivenList(), resumes: newResumes(), stopped: make(chan struct{}),
	}
	h.fill()
	return h, nil
}

// fill puts in place what the configuration left out.
func (h *Hub) fill() {
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.authenticate == nil {
		h.authenticate = func(*http.Request) (Principal, error) {
			return Principal{ID: "local", Name: "local", Role: hubapi.RoleAdmin}, nil
		}
	}
	if h.good == nil {
		h.good = func(context.Context, Principal) bool { return true }
	}
	if h.source == nil {
		h.source = peer
	}
	if h.audit == nil {
		h.audit = func(context.Context, store.AuditEntry) error { return nil }
	}
	if h.instrument == nil {
		h.instrument = func(_ Route, next http.Handler) http.Handler { return next }
	}
}

const (
	// eventsKept is how long events of clusters that are gone can still be read.
	eventsKept = 7 * 24 * time.Hour
	// eventsPerCluster bounds what is kept of a cluster that lives.
	eventsPerCluster = 2000
	pruneEvery       = time.Hour
)

// Run listens to every gateway until the context ends, and returns the context's error. It may be called once. When it
// returns, open event streams end, so that their readers can go elsewhere.
func (h *Hub) Run(ctx context.Context) error {
	defer close(h.stopped)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.followLinks(ctx) })
	group.Go(func() error { return h.resumeUnfinished(ctx) })
	group.Go(func() error { return h.feed.run(ctx) })
	group.Go(func() error { return h.prune(ctx) })
	return group.Wait()
}

// prune removes old events from time to time. While that fails there are more of them, and nothing else is wrong.
func (h *Hub) prune(ctx context.Context) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		if err := h.store.Prune(ctx, h.now().Add(-eventsKept), eventsPerCluster); err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "old events not removed", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
