// Package gateway owns the work next to the vCenter: it answers what a hub asks (verify an account, read inventory,
// preview a cluster) and carries out the clusters that the hub assigns to it. It is an http.Handler and nothing else: a
// hub calls it, it never calls a hub. What it must have kept (leases, sealed secrets) it reports and waits until the hub
// acknowledges. It keeps nothing of its own but its identity.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

// Config is what a gateway needs.
type Config struct {
	Identity Identity
	Version  string
	Log      *slog.Logger
	// Parallel bounds the machines of one cluster that are worked on at once; 0 is 8.
	Parallel int
	// Pace is the least time between two looks at vCenter's updates, in which further ones gather; 0 is the session's default.
	Pace time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Gateway answers a hub and carries out its clusters.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	accounts *accounts
	reports  *reportLog
	now      func() time.Time
	pools    *addressPools

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // The life of the workers, which outlive the request that starts them.
	stop    context.CancelFunc
	workers map[string]*worker
	running sync.WaitGroup
}

// New returns a gateway that is ready to answer. Close it when done.
func New(cfg Config) *Gateway {
	if cfg.Parallel <= 0 {
		cfg.Parallel = 8
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{
		cfg: cfg, log: cfg.Log, ctx: ctx, stop: stop,
		reports: newReportLog(cfg.Now),
		now:     cfg.Now,
		workers: map[string]*worker{},
	}
	g.pools = newAddressPools(cfg.Now, func(r gatewayapi.PoolReport) int64 {
		return g.reports.publish(gatewayapi.Report{Pool: &r})
	})
	g.accounts = newAccounts(cfg)
	return g
}

// Close stops all work where it stands and logs out of every vCenter. Tasks that vCenter has begun go on there; the next
// gateway finds what they made.
func (g *Gateway) Close(ctx context.Context) error {
	g.stop()
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.reports.close()
	return errors.Join(err, g.accounts.close(ctx))
}

// Handler returns the API that a hub calls.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+gatewayapi.PathInfo, g.serveInfo)
	mux.HandleFunc("POST "+gatewayapi.PathVerifyAccount, handle(g.verifyAccount))
	mux.HandleFunc("POST "+gatewayapi.PathInventory, handle(g.inventory))
	mux.HandleFunc("POST "+gatewayapi.PathPreview, handle(g.preview))
	mux.HandleFunc("POST "+gatewayapi.PathObserve, handle(g.observe))
	mux.HandleFunc("POST "+gatewayapi.PathAssign, handle(g.assign))
	mux.HandleFunc("POST "+gatewayapi.PathHandover, handle(g.handOver))
	mux.HandleFunc("POST "+gatewayapi.PathAck, handle(g.ack))
	mux.HandleFunc("GET "+gatewayapi.PathEvents, g.serveEvents)
	return mux
}
