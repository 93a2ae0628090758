// Package agent owns the process that is a replica of a gateway: the identity it keeps, how it is paired, the tunnels by
// which it serves every instance of the hub, and how it is looked after. What a gateway does is in package gateway; the
// agent dials, and only answers what it is asked by a hub that has shown who it is.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// closeLimit is how long a gateway may take to stop its work and log out of its vCenters.
const closeLimit = 25 * time.Second

// Config is what a replica needs to run.
type Config struct {
	DataDir string
	Version string
	// Hub, Proxy and OuterCA are the way to the hub, where it is another one now than when the replica was paired.
	Hub, Proxy, OuterCA string
	// Policy is what the gateway may reach and do; nil is the default, which is not without limits.
	Policy *policy.Policy
	// Listen is where health and metrics are served; "" is nowhere.
	Listen string
	Log    *slog.Logger
	// Recent are the last lines of the log, for the support bundle; nil is none.
	Recent *Recent
	// Pace is the least time between two looks at vCenter's updates; 0 is the default.
	Pace time.Duration
}

func (c Config) orDefault() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Policy == nil {
		c.Policy = &policy.Policy{}
	}
	return c
}

// agent is a running replica.
type agent struct {
	cfg     Config
	log     *slog.Logger
	dir     *directory
	ring    *seal.Ring
	gateway *gateway.Gateway
	dial    dialer
	metrics *metrics
	now     func() time.Time
	began   time.Time

	mu       sync.Mutex
	hubs     *hubs
	rejoined time.Time // when a certificate was asked for by the identity key
	refused  error     // what came of that; nil is a certificate, or no answer yet

	renewal renewal
}

// Run is a replica of a gateway until the context ends. Then it finishes what it is answering, leaves its vCenters, and
// returns nil.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.orDefault()
	dir, err := openDirectory(cfg.DataDir, false)
	if err != nil {
		return err
	}
	defer func() { _ = dir.close() }()
	a, err := newAgent(cfg, dir)
	if err != nil {
		return err
	}
	return a.run(ctx)
}

func newAgent(cfg Config, dir *directory) (*agent, error) {
	if !dir.paired() {
		return nil, ErrNotPaired
	}
	id := dir.identity()
	ring, err := id.ring()
	if err != nil {
		return nil, err
	}
	dial, err := newDialer(cmp.Or(cfg.Proxy, id.Proxy), cmp.Or(cfg.OuterCA, id.OuterCA), cfg.Version)
	if err != nil {
		return nil, err
	}
	a := &agent{
		cfg: cfg, dir: dir, ring: ring, dial: dial, now: time.Now, began: time.Now(),
		log: cfg.Log.With("gateway_id", id.Gateway, "replica_id", id.Replica),
	}
	a.metrics = newMetrics(a)
	a.gateway = gateway.New(gateway.Config{
		Identity: gateway.Identity{ID: id.Gateway, Project: id.Project, Key: ring},
		Version:  cfg.Version, Log: a.log, Pace: cfg.Pace, Leased: true, Policy: cfg.Policy, Calls: a.metrics.call,
	})
	a.hubs = a.newHubs()
	return a, nil
}

// hub is the URL that is dialled.
func (a *agent) hub() string { return cmp.Or(a.cfg.Hub, a.dir.identity().Hub) }

func (a *agent) newHubs() *hubs {
	h := newHubs(a.hub(), a.log)
	h.added = a.metrics.connected
	h.may = func(own string) bool { return beside(h.common, own, a.cfg.Policy.Hubs) }
	h.connect, h.handler = a.connect, func(s *session) http.Handler { return a.handler(h, s) }
	return h
}

// run has every part of the replica in a goroutine of its own; when one of them ends, all do.
func (a *agent) run(ctx context.Context) error {
	a.log.InfoContext(ctx, "gateway starts", "version", a.cfg.Version, "hub", a.hub())
	group, running := errgroup.WithContext(ctx)
	part := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			err := run(running)
			if running.Err() != nil {
				return nil //nolint:nilerr // It was told to end, and has.
			}
			if err == nil {
				err = errEnded
			}
			return fmt.Errorf("%s ended: %w", name, err)
		})
	}
	// Tunnels end after the work has, so that the hub hears of it.
	serving, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	part("tunnels", func(context.Context) error { return a.tunnels(serving) })
	part("local socket", a.serveSocket)
	part("service manager", a.notify)
	if a.cfg.Listen != "" {
		part("health", a.serveHealth)
	}
	part("gateway", func(ctx context.Context) error { return a.closeWhenDone(ctx, leave) })
	err := group.Wait()
	select {
	case <-ctx.Done():
		a.log.Info("gateway has stopped")
		return nil
	default:
		return err
	}
}

// errEnded is what a part returns that ends without being told to.
var errEnded = errors.New("without a reason")

// closeWhenDone stops the gateway's work when the process is to end, and lets another replica take over. Then the tunnels may
// end; the event streams in them do with the gateway.
func (a *agent) closeWhenDone(ctx context.Context, leave func()) error {
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := a.gateway.Resign(closing); err != nil {
		a.log.Info("another replica takes over only when the lease has run out", "error", err)
	}
	leave()
	if err := a.gateway.Close(closing); err != nil {
		a.log.Warn("stopping the gateway", "error", err)
	}
	return nil
}

// tunnels keeps the sessions with the hub. When there has been none for long, everything about the connection is made anew:
// whatever may have got stuck, it is gone.
func (a *agent) tunnels(ctx context.Context) error {
	for {
		a.mu.Lock()
		h := a.hubs
		a.mu.Unlock()
		group, running := errgroup.WithContext(ctx)
		group.Go(func() error { return h.watch(running) })
		group.Go(func() error { return h.run(running) })
		if err := group.Wait(); !errors.Is(err, errAlone) {
			return err
		}
		a.log.WarnContext(ctx, "no session with the hub for long: beginning anew", "after", aloneLimit.String())
		a.mu.Lock()
		a.hubs = a.newHubs()
		a.mu.Unlock()
	}
}

// current is the hubs as they are now.
func (a *agent) current() *hubs {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hubs
}

// handler is what a hub may ask in a session: the gateway's own API, and what concerns the replica.
func (a *agent) handler(h *hubs, s *session) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.gateway.Handler())
	mux.HandleFunc("POST "+gatewayapi.PathHub, answering(func(_ context.Context, info gatewayapi.HubInfo) (struct{}, error) {
		return struct{}{}, h.told(s, info)
	}))
	mux.HandleFunc("POST "+gatewayapi.PathIntroduce, answering(a.introduce))
	mux.HandleFunc("POST "+gatewayapi.PathKeys, answering(a.keys))
	mux.HandleFunc("POST "+gatewayapi.PathRenew, answering(a.renew))
	mux.HandleFunc("POST "+gatewayapi.PathIdentity, answering(a.renewed))
	return mux
}
