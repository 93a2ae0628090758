// Package agent owns the process that is a replica of a gateway: the identity it keeps, how it is paired, the tunnels by
// which it serves every instance of the hub, and how it is looked after. What a gateway does is in package gateway; the
// agent dials, and only answers what it is asked by a hub that has shown who it is.
package agent

import (
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
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

const (
	// closeLimit is how long a gateway may take to stop its work and log out of its vCenters.
	closeLimit = 25 * time.Second
	// aloneLimit is how long there may be no session before everything about the connection is made anew.
	aloneLimit = 5 * time.Minute
	// rejoinPause is the least time between two attempts to get a certificate by the identity key.
	rejoinPause = time.Minute
)

// Config is what a replica needs to run.
type Config struct {
	DataDir string
	Version string
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

// agent is a running replica.
type agent struct {
	cfg     Config
	log     *slog.Logger
	dir     *directory
	gateway *gateway.Gateway
	dial    dialer
	metrics *metrics
	now     func() time.Time
	began   time.Time

	mu       sync.Mutex
	hubs     *hubs
	rejoined time.Time

	renewal renewal
}

// Run is a replica of a gateway until the context ends. Then it finishes what it is answering, leaves its vCenters, and
// returns nil.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Policy == nil {
		cfg.Policy = &policy.Policy{}
	}
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
	key, err := id.sealing()
	if err != nil {
		return nil, err
	}
	dial, err := newDialer(id.Proxy, id.OuterCA, cfg.Version)
	if err != nil {
		return nil, err
	}
	a := &agent{
		cfg: cfg, dir: dir, dial: dial, now: time.Now, began: time.Now(),
		log: cfg.Log.With("gateway_id", id.Gateway, "replica_id", id.Replica),
	}
	a.metrics = newMetrics(a)
	a.gateway = gateway.New(gateway.Config{
		Identity: gateway.Identity{ID: id.Gateway, Project: id.Project, Key: key},
		Version:  cfg.Version, Log: a.log, Pace: cfg.Pace, Leased: true, Policy: cfg.Policy, Calls: a.metrics.call,
	})
	a.hubs = a.newHubs()
	return a, nil
}

func (a *agent) newHubs() *hubs {
	h := newHubs(a.dir.identity().Hub, a.log)
	h.added = a.metrics.connected
	h.connect, h.handler = a.connect, func(s *session) http.Handler { return a.handler(h, s) }
	return h
}

// run has every part of the replica in a goroutine of its own; when one of them ends, all do.
func (a *agent) run(ctx context.Context) error {
	a.log.InfoContext(ctx, "gateway starts", "version", a.cfg.Version, "hub", a.dir.identity().Hub)
	group, running := errgroup.WithContext(ctx)
	part := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			err := run(running)
			if running.Err() == nil {
				return fmt.Errorf("%s ended: %w", name, cmpErr(err))
			}
			return nil
		})
	}
	part("tunnels", a.tunnels)
	part("local socket", a.serveSocket)
	part("service manager", a.notify)
	if a.cfg.Listen != "" {
		part("health", a.serveHealth)
	}
	part("gateway", a.closeWhenDone)
	err := group.Wait()
	if ctx.Err() != nil {
		a.log.Info("gateway has stopped")
		return nil
	}
	return err
}

// errEnded is what a part returns that ends without being told to.
var errEnded = errors.New("without a reason")

func cmpErr(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// closeWhenDone stops the gateway's work when the process is to end: the event streams that it serves end with it.
func (a *agent) closeWhenDone(ctx context.Context) error {
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
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

// connect dials one route. A certificate that has expired, or that the hub does not believe any more, is replaced first.
func (a *agent) connect(ctx context.Context, s *session, url string, limit time.Duration) error {
	inner := hubTLS(a.dir.identity)
	if cert, err := a.dir.identity().certificate(); err != nil || !a.now().Before(cert.Leaf.NotAfter) {
		if err := a.rejoin(ctx, url); err != nil {
			return err
		}
	}
	dial := func() (err error) {
		dialing, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		s.conn, err = a.dial.dial(dialing, url, tunnel.ClassControl, inner, s.header)
		return err
	}
	err := dial()
	if errors.Is(err, tunnel.ErrIdentityRefused) {
		if rejoinErr := a.rejoin(ctx, url); rejoinErr != nil {
			return errors.Join(err, rejoinErr)
		}
		err = dial()
	}
	return err
}

// errTooSoon is returned when a certificate has just been asked for in vain.
var errTooSoon = errors.New("a certificate was asked for a moment ago")

// rejoin gets a certificate by the identity key, one caller at a time.
func (a *agent) rejoin(ctx context.Context, url string) error {
	a.mu.Lock()
	soon := a.now().Sub(a.rejoined) < rejoinPause
	if !soon {
		a.rejoined = a.now()
	}
	a.mu.Unlock()
	if soon {
		return fmt.Errorf("the certificate has expired or is not believed: %w", errTooSoon)
	}
	a.log.InfoContext(ctx, "asking for a certificate by the identity key", "url", url)
	id := a.dir.identity
	return rejoin(ctx, a.dir, way{url: url, dial: a.dial, inner: hubTLS(id)}, a.cfg.Version)
}

// handler is what a hub may ask in a session: the gateway's own API, and what concerns the replica.
func (a *agent) handler(h *hubs, s *session) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.gateway.Handler())
	mux.HandleFunc("POST "+gatewayapi.PathHub, answering(func(_ context.Context, info gatewayapi.HubInfo) (struct{}, error) {
		return struct{}{}, h.told(s, info)
	}))
	mux.HandleFunc("POST "+gatewayapi.PathIntroduce, answering(a.introduce))
	mux.HandleFunc("POST "+gatewayapi.PathRenew, answering(a.renew))
	mux.HandleFunc("POST "+gatewayapi.PathIdentity, answering(a.renewed))
	return mux
}

// errAlone tells that there has been no session for long.
var errAlone = errors.New("there has been no session with the hub for long")

// watch returns when there has been no session for long.
func (h *hubs) watch(ctx context.Context) error {
	ticker := time.NewTicker(aloneLimit / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if sessions, since := h.connected(); sessions == 0 && time.Since(since) > aloneLimit {
			return errAlone
		}
	}
}
