package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/openapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/sessions"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// service is a hub that is being run.
type service struct {
	cfg      Config
	records  store.Database
	metrics  *metrics
	issuers  *access.Issuers
	guard    *access.Guard
	sessions *sessions.Sessions
	hub      *hub.Hub
	draining atomic.Bool
	// undo is what close does, last first.
	undo []func() error
}

// Run serves a hub until the context ends. Then it answers what it was asked and returns nil.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	s := &service{cfg: cfg, metrics: newMetrics(cfg.Version)}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

func (s *service) close() error {
	var errs []error
	for _, undo := range slices.Backward(s.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

func (s *service) later(undo func() error) { s.undo = append(s.undo, undo) }

// open puts together everything that does not listen yet.
func (s *service) open(ctx context.Context) error {
	if err := s.openRecords(ctx); err != nil {
		return err
	}
	if err := s.openAccess(); err != nil {
		return err
	}
	pin, err := s.openSessions(ctx)
	if err != nil {
		return err
	}
	h, err := hub.New(hub.Config{
		Store: s.records, Gateways: s.sessions, Pin: pin, Version: s.cfg.Version, Log: s.cfg.Log, Clock: s.cfg.Clock,
		Authenticate: s.guard.Authenticate, Good: s.guard.Good, Source: s.cfg.Proxies.Source,
		Audit: s.records.AppendAudit, Instrument: s.metrics.instrument,
	})
	s.hub = h
	return err
}

// openRecords opens the database. One in a file belongs to one hub at a time: hubs that share records wake each other
// through a database that can do that.
func (s *service) openRecords(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if !s.cfg.shared() {
		if err := s.lock(); err != nil {
			return err
		}
	}
	records, err := OpenRecords(ctx, s.cfg.Database, s.cfg.DataDir)
	if err != nil {
		return err
	}
	s.later(records.Close)
	s.records = counted{Database: records, metrics: s.metrics}
	return nil
}

// lockName is the file whose lock says that a hub serves the directory; an embedded hub looks at the same one.
const lockName = "hub.lock"

func (s *service) lock() error {
	lock := flock.New(filepath.Join(s.cfg.DataDir, lockName))
	got, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking the data directory: %w", err)
	}
	if !got {
		return fmt.Errorf("another hub serves %s: give each hub a directory of its own, or let them share PostgreSQL", s.cfg.DataDir)
	}
	s.later(lock.Unlock)
	return nil
}

func (s *service) openAccess() (err error) {
	if s.cfg.OIDCConfig != "" {
		if s.issuers, err = access.LoadIssuers(s.cfg.OIDCConfig, nil); err != nil {
			return err
		}
		s.later(func() error { s.issuers.Close(); return nil })
	}
	s.guard = access.NewGuard(access.Config{
		Records: s.records, Issuers: s.issuers, Source: s.cfg.Proxies.Source, Limits: s.cfg.Limits,
		Throttled: func(why string) { s.metrics.throttled.WithLabelValues(why).Inc() },
	})
	return nil
}

// run listens and serves until the context ends or something fails.
func (s *service) run(ctx context.Context) error {
	document, err := openapi.Document(s.cfg.Version)
	if err != nil {
		return err
	}
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	// What serves lives longer than the context, for as long as it takes to answer what was asked.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, failed := errgroup.WithContext(life)
	server := s.server(life, s.handler(document))
	group.Go(func() error { return serve(server, listener, "API") })
	addresses := Addresses{Hub: listener.Addr().String()}
	servers := []*http.Server{server}
	if s.cfg.MetricsListen != "" {
		metricsListener, err := listen(ctx, s.cfg.MetricsListen)
		if err != nil {
			return errors.Join(err, server.Close(), group.Wait())
		}
		metricsServer := s.server(life, s.metricsHandler())
		group.Go(func() error { return serve(metricsServer, metricsListener, "metrics") })
		servers, addresses.Metrics = append(servers, metricsServer), metricsListener.Addr().String()
	}
	hubLife, endHub := context.WithCancel(life)
	defer endHub()
	group.Go(func() error {
		if err := s.hub.Run(hubLife); hubLife.Err() == nil {
			return fmt.Errorf("the hub has stopped listening to its gateways: %w", err)
		}
		return nil
	})
	sessionsLife, endSessions := context.WithCancel(life)
	defer endSessions()
	group.Go(func() error {
		if err := s.sessions.Run(sessionsLife); sessionsLife.Err() == nil {
			return fmt.Errorf("the hub has stopped keeping tunnels: %w", err)
		}
		return nil
	})
	s.greet(ctx, addresses)
	s.cfg.Ready(addresses)
	select {
	case <-ctx.Done():
	case <-failed.Done(): // Wait has the error.
	}
	s.drain(life, endHub, servers)
	end()
	return group.Wait()
}

const (
	// drainLimit is how long requests that are being answered may still take.
	drainLimit = 20 * time.Second
	// tellLimit is how long it may take to tell gateways that the hub is about to go.
	tellLimit  = 3 * time.Second
	readHeader = 10 * time.Second
	idle       = 2 * time.Minute
	maxHeader  = 64 << 10
)

// drain lets requests be answered. Event streams have no end of their own: they end with the hub, and whoever follows one
// goes on elsewhere.
func (s *service) drain(ctx context.Context, endHub func(), servers []*http.Server) {
	s.cfg.Log.InfoContext(ctx, "shutting down")
	s.draining.Store(true)
	telling, told := context.WithTimeout(ctx, tellLimit)
	defer told()
	s.sessions.Drain(telling)
	endHub()
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			s.cfg.Log.WarnContext(ctx, "requests cut off", "error", err)
			_ = server.Close() // There is nobody left to tell.
		}
	}
}

func (s *service) server(life context.Context, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeader, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ErrorLog:    quiet(s.cfg.Log),
		BaseContext: func(net.Listener) context.Context { return life },
	}
}

func serve(server *http.Server, listener net.Listener, what string) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the %s: %w", what, err)
	}
	return nil
}
