package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

const (
	// maxInstances bounds how many instances of a hub there can be.
	maxInstances = 32
	// dialQuick bounds every other pair of dials, so that one that is swallowed does not stand in the way for long; the
	// others have the time that a slow network needs.
	dialQuick = 4 * time.Second
	dialLimit = 20 * time.Second
)

// hubs keeps a session with every instance of the hub. Routes are URLs: the common one, behind which a balancer may choose,
// and those that instances have of their own. Each has a goroutine that dials while the route is needed.
type hubs struct {
	common string
	// connect dials, and handles what the hub asks in the session.
	connect func(ctx context.Context, s *session, url string, limit time.Duration) error
	// added is told of each session that begins.
	added   func()
	handler func(*session) http.Handler
	// may tells whether a URL that a hub names may be dialled.
	may func(own string) bool
	log *slog.Logger

	mu       sync.Mutex
	sessions map[*session]bool
	known    map[string]string // instances and their URLs, as the hub said last
	changed  chan struct{}     // closed and made anew at each change
	trouble  string            // of the last dial that failed
	lastGood time.Time
}

func newHubs(common string, log *slog.Logger) *hubs {
	return &hubs{
		common: common, log: log, may: func(own string) bool { return beside(common, own, nil) },
		sessions: map[*session]bool{}, known: map[string]string{}, changed: make(chan struct{}), lastGood: time.Now(),
	}
}

func (h *hubs) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// run dials until the context ends, and returns when all sessions have.
func (h *hubs) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	routes := map[string]context.CancelFunc{}
	for {
		h.mu.Lock()
		wanted, changed := h.routes(), h.changed
		h.mu.Unlock()
		for route, stop := range routes {
			if !slices.Contains(wanted, route) {
				stop()
				delete(routes, route)
			}
		}
		for _, route := range wanted {
			if _, ok := routes[route]; !ok {
				life, stop := context.WithCancel(ctx)
				routes[route] = stop
				group.Go(func() error { h.follow(ctx, life, route); return nil })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range routes {
				stop()
			}
			return errors.Join(group.Wait(), ctx.Err())
		case <-changed:
		}
	}
}

// routes are the URLs that may be dialled. The caller holds mu.
func (h *hubs) routes() []string {
	routes := []string{h.common}
	for _, own := range h.known {
		if own != "" && !slices.Contains(routes, own) {
			routes = append(routes, own)
		}
	}
	return routes
}

// needed tells whether a route may lead to an instance that there is no session with. The caller holds mu.
func (h *hubs) needed(route string) bool {
	covered := map[string]bool{}
	for s := range h.sessions {
		if instance, ok := s.good(); ok {
			covered[instance] = true
		}
	}
	if len(covered) == 0 {
		return true
	}
	for instance, own := range h.known {
		if !covered[instance] && (own == route || own == "" && route == h.common) {
			return true
		}
	}
	return false
}

// follow dials one route as long as its life lasts, whenever it is needed. Sessions end with ctx.
func (h *hubs) follow(ctx, life context.Context, route string) {
	var serving sync.WaitGroup
	defer serving.Wait()
	b := newBackoff(time.Now())
	lost := make(chan time.Duration, maxInstances)
	var asked time.Duration
	for dials := 0; ; dials++ {
		h.whenNeeded(life, route)
		if dials > 0 {
			select {
			case held := <-lost:
				b.lost(time.Now(), held)
			default:
			}
			// The pause spreads those who lost the same hub; the first is short enough to be back before anybody asks.
			pause(life, b.next(time.Now(), asked))
			h.whenNeeded(life, route)
		}
		if life.Err() != nil {
			return
		}
		s, err := h.open(ctx, life, route, dials, &serving)
		asked = retryAfter(err)
		if err != nil {
			h.failed(life, route, err)
			continue
		}
		h.log.InfoContext(ctx, "connected to hub", "url", route, "instance", s.instance, "version", s.version)
		serving.Go(func() {
			<-s.done
			lost <- time.Since(s.began)
			h.ended(ctx, s)
		})
	}
}

// whenNeeded waits until a session by the route is wanted.
func (h *hubs) whenNeeded(ctx context.Context, route string) {
	for ctx.Err() == nil {
		h.mu.Lock()
		needed, changed := h.needed(route), h.changed
		h.mu.Unlock()
		if needed {
			return
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// open makes a session and returns when the hub has said who it is. A session that there was with the same instance ends,
// after what it is answering: the hub has it no more.
func (h *hubs) open(ctx, life context.Context, route string, dials int, serving *sync.WaitGroup) (*session, error) {
	limit := dialLimit
	if dials%4 < 2 {
		limit = dialQuick
	}
	s := &session{
		route: route, header: h.header(), began: time.Now(), hello: make(chan struct{}), done: make(chan struct{}),
	}
	if err := h.connect(life, s, route, limit); err != nil {
		return nil, err
	}
	session, stop := context.WithCancel(ctx)
	s.stop = stop
	serving.Go(func() { s.serve(session, h.handler(s)) })
	if err := s.met(life); err != nil {
		stop()
		return nil, errors.Join(err, s.conn.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for other := range h.sessions {
		if other.instance == s.instance {
			other.stop()
		}
	}
	h.sessions[s] = true
	h.trouble = ""
	h.added()
	h.signal()
	return s, nil
}

// header names the instances that there are sessions with.
func (h *hubs) header() http.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for s := range h.sessions {
		if instance, ok := s.good(); ok {
			names = append(names, instance)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return http.Header{gatewayapi.HeaderInstances: {strings.Join(names, ",")}}
}

func (h *hubs) ended(ctx context.Context, s *session) {
	s.stop()
	if ctx.Err() == nil {
		h.log.WarnContext(ctx, "session with hub ended", "url", s.route, "instance", s.instance, "error", s.err,
			"held", time.Since(s.began).Round(time.Millisecond).String())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
	h.lastGood = time.Now()
	h.signal()
}

func (h *hubs) failed(ctx context.Context, route string, err error) {
	var refused *tunnel.RefusedError
	if ctx.Err() != nil || errors.As(err, &refused) && refused.Status == http.StatusConflict {
		return // nobody's trouble: an instance that there is a session with already
	}
	h.log.WarnContext(ctx, "hub not reached", "url", route, "error", printable(err.Error()))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = printable(err.Error())
}

// told works in what a hub says of itself and of the other instances.
func (h *hubs) told(s *session, info gatewayapi.HubInfo) error {
	known := map[string]string{}
	for instance, own := range info.Replicas {
		switch {
		case len(known) >= maxInstances:
		case own == "" || h.may(own):
			known[instance] = own
		default:
			h.log.Warn("an instance of the hub is not dialled: its URL is neither beside the common one nor among hubs in the policy file",
				"instance", printable(instance), "url", printable(own))
		}
	}
	if err := s.told(info); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known = known
	h.signal()
	return nil
}

// connected tells how many sessions count, and since when there has been none.
func (h *hubs) connected() (sessions int, noneSince time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions {
		if _, ok := s.good(); ok {
			sessions++
		}
	}
	return sessions, h.lastGood
}

// SessionState is a session with an instance of the hub.
type SessionState struct {
	Instance string    `json:"instance"`
	URL      string    `json:"url"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Draining bool      `json:"draining,omitempty"`
}

// state says how things stand: the sessions, the instances that are known, and what went wrong last.
func (h *hubs) state() (sessions []SessionState, known []string, trouble string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions {
		s.mu.Lock()
		sessions = append(sessions, SessionState{
			Instance: s.instance, URL: s.route, Version: s.version, Since: s.began.UTC(), Draining: s.draining,
		})
		s.mu.Unlock()
	}
	slices.SortFunc(sessions, func(a, b SessionState) int { return strings.Compare(a.Instance, b.Instance) })
	return sessions, slices.Sorted(maps.Keys(h.known)), h.trouble
}

func retryAfter(err error) time.Duration {
	if refused, ok := errors.AsType[*tunnel.RefusedError](err); ok {
		return refused.RetryAfter
	}
	return 0
}
