// Package sessions owns the hub's end of tunnels: it lets gateways in and shuts them out, knows which are connected, renews
// their certificates, and says which replica of a gateway has the lease. The hub reaches gateways through it, as through
// any hub.GatewayDirectory; nothing of what is asked of a gateway for the hub's clients is decided here.
package sessions

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// Config is what the hub's end of tunnels needs.
type Config struct {
	Store     store.Store
	Authority *authority.Authority
	// Instance names this instance of the hub among those that share the store. A name that stays the same over restarts
	// lets the instance go on with its gateways at once; with a new one others wait until the old one counts as dead.
	Instance string
	// URL is where gateways reach this very instance; "" is the common one.
	URL     string
	Version string
	// Source tells where a request comes from, for limits and logs; nil is the address of its connection.
	Source func(*http.Request) string
	// System is the gateway beside the hub; nil is none.
	System hub.GatewayDirectory
	// Log may be nil.
	Log *slog.Logger
	// Clock may be nil: the system's.
	Clock func() time.Time
}

// Sessions are the tunnels of a hub.
type Sessions struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	store     store.Store
	authority *authority.Authority
	system    hub.GatewayDirectory

	registry   *registry
	instances  *instances
	handshakes *tunnel.Handshakes
	sources    *sources
	enrolling  *crowd

	// life ends when Run does, and with it everything that is done for a tunnel.
	life context.Context //nolint:containedctx // The life of tunnels, which outlive the requests that open them.
	end  context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	draining bool
	ended    bool
}

var _ hub.GatewayDirectory = (*Sessions)(nil)

// maxHandshakes bounds how many handshakes there are at once.
const maxHandshakes = 64

// New returns a hub's end of tunnels. Its handler takes tunnels while Run runs.
func New(cfg Config) (*Sessions, error) {
	if cfg.Store == nil || cfg.Authority == nil || cfg.Instance == "" {
		return nil, errors.New("tunnels need a store, a certificate authority and the name of the instance")
	}
	s := &Sessions{
		cfg: cfg, log: cfg.Log, now: cfg.Clock, store: cfg.Store, authority: cfg.Authority, system: cfg.System,
		registry: newRegistry(), handshakes: tunnel.NewHandshakes(maxHandshakes), sources: newSources(),
		enrolling: newCrowd(enrolments, enrolmentsOf),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.cfg.Source == nil {
		s.cfg.Source = func(r *http.Request) string { return hostOf(r.RemoteAddr) }
	}
	s.instances = newInstances(cfg, s.log)
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Run keeps tunnels until the context ends, and returns the context's error. It may be called once. When it returns every
// tunnel is closed.
func (s *Sessions) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.instances.run(ctx, s.refresh) })
	group.Go(func() error { return s.watch(ctx) })
	err := group.Wait()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.end()
	s.registry.closeAll()
	s.work.Wait()
	s.instances.leave(context.WithoutCancel(ctx))
	return err
}

// refresh has leases looked at again, and tells gateways which instances of the hub there are now.
func (s *Sessions) refresh() {
	s.registry.wakeAll()
	s.begin(s.tellAll)
}

// begin does something for a tunnel until it is done, and Run waits for it. It tells whether there was still time.
func (s *Sessions) begin(do func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.work.Go(func() { do(s.life) })
	return true
}

// Drain tells all gateways that this instance is about to go and lets another instance have their leases. New tunnels are
// refused from then on; those that are open stay so until Run ends.
func (s *Sessions) Drain(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.instances.drain(ctx)
	s.registry.wakeAll()
	s.tellAll(ctx)
}

// refusing tells why no tunnel is taken at the moment; "" when one is.
func (s *Sessions) refusing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return "the hub is shutting down"
	case s.draining:
		return "this instance of the hub is about to go"
	default:
		return ""
	}
}

// SystemID implements hub.GatewayDirectory.
func (s *Sessions) SystemID() string {
	if s.system == nil {
		return ""
	}
	return s.system.SystemID()
}

// RoundTripper implements hub.GatewayDirectory.
func (s *Sessions) RoundTripper(id string) (http.RoundTripper, bool) {
	if s.system != nil {
		if rt, ok := s.system.RoundTripper(id); ok {
			return rt, true
		}
	}
	live := s.registry.reader(id)
	if live == nil {
		return nil, false
	}
	return live.tunnel, true
}

// Links implements hub.GatewayDirectory. The gateway beside the hub never changes.
func (s *Sessions) Links() (links []hub.Link, changed <-chan struct{}) {
	links, changed = s.registry.allLinks()
	if s.system != nil {
		beside, _ := s.system.Links()
		links = append(links, beside...)
	}
	return links, changed
}

// Presence implements hub.GatewayDirectory.
func (s *Sessions) Presence(id string) (p hub.Presence, changed <-chan struct{}) {
	return s.registry.presence(id)
}
