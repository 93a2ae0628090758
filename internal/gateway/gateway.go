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

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
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
	// Leased tells that the gateway has replicas: it works on clusters only while it has the lease. The system gateway has
	// none.
	Leased bool
	// Policy says what the gateway may reach and do; nil is anything, as for the system gateway.
	Policy *policy.Policy
	// Calls is told of each call to a vCenter when it ends; nil is nobody.
	Calls func(vsphere.Call)
}

// Gateway answers a hub and carries out its clusters.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	accounts *accounts
	reports  *reportLog
	now      func() time.Time
	pools    *addressPools
	lease    *lease
	guesses  guesses

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
		lease:   newLease(ctx, cfg.Leased),
	}
	g.pools = newAddressPools(cfg.Now, func(r gatewayapi.PoolReport) int64 {
		return g.reports.publish(gatewayapi.Report{Pool: &r})
	})
	g.pools.own(!cfg.Leased)
	g.accounts = newAccounts(cfg)
	return g
}

// resignAnswer is how long a hub may take to keep that a replica has given up its lease.
const resignAnswer = 2 * time.Second

// Resign stops all work where it stands and takes up no more; what is asked is still answered. When nothing is under way any
// more, the hub is told that this replica has given up its lease, so that another one need not wait for its end. An error
// says that the hub has not heard it. Tasks that vCenter has begun go on there; the next replica finds what they made.
func (g *Gateway) Resign(ctx context.Context) error {
	epoch, err := g.halt(ctx)
	if err != nil || epoch == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, resignAnswer)
	defer cancel()
	return g.reports.kept(ctx, g.reports.publish(gatewayapi.Report{Epoch: epoch, Resigned: true}))
}

// Close stops all work where it stands and logs out of every vCenter.
func (g *Gateway) Close(ctx context.Context) error {
	_, err := g.halt(ctx)
	g.reports.close()
	return errors.Join(err, g.accounts.close(ctx))
}

// halt ends the workers and returns the epoch of the lease that they had until then, 0 for none.
func (g *Gateway) halt(ctx context.Context) (epoch int64, err error) {
	g.mu.Lock() // No worker begins from here on.
	g.stop()
	epoch = g.lease.close()
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return epoch, nil
	case <-ctx.Done():
		return epoch, ctx.Err()
	}
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
	mux.HandleFunc("POST "+gatewayapi.PathAnchor, handle(g.anchor))
	mux.HandleFunc("POST "+gatewayapi.PathAck, handle(g.ack))
	mux.HandleFunc("GET "+gatewayapi.PathEvents, g.serveEvents)
	mux.HandleFunc("POST "+gatewayapi.PathLease, handle(g.takeLease))
	return mux
}

// State is what a gateway is doing, for people who look after it.
type State struct {
	// Holder tells that the gateway has the lease, of Epoch.
	Holder bool  `json:"holder"`
	Epoch  int64 `json:"epoch"`
	// Clusters are worked on now; Sessions are open with vCenters; Unkept are reports that the hub has not kept yet.
	Clusters int `json:"clusters"`
	Sessions int `json:"sessions"`
	Unkept   int `json:"unkept"`
}

// State says what the gateway is doing now.
func (g *Gateway) State() State {
	s := State{Sessions: g.accounts.count(), Unkept: g.reports.unkept()}
	s.Epoch, s.Holder = g.lease.current()
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Clusters = len(g.workers)
	return s
}
