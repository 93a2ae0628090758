package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// helloLimit is how long a hub may take to say which of its instances it is.
const helloLimit = 10 * time.Second

// drainLimit is how long a session goes on that the hub has said to be about to end.
const drainLimit = time.Minute

// session is one tunnel to one instance of the hub.
type session struct {
	conn   *tunnel.Conn
	route  string
	header http.Header
	began  time.Time
	stop   context.CancelFunc
	hello  chan struct{} // closed when the hub has said who it is
	done   chan struct{} // closed when the session has ended

	mu       sync.Mutex
	instance string
	version  string
	draining bool
	err      error
}

// told keeps what the hub says of itself. The first word makes the session count. A session stays with the instance it
// began with.
func (s *session) told(info gatewayapi.HubInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.instance == ""
	if info.Instance == "" || len(info.Instance) > 100 || !first && info.Instance != s.instance {
		return hubapi.NewProblem(hubapi.CodeInvalid, "a hub says which of its instances it is, and stays that")
	}
	if first {
		s.instance, s.version = info.Instance, printable(info.Version)
		close(s.hello)
	}
	if info.Draining && !s.draining {
		s.draining = true
		time.AfterFunc(drainLimit, s.stop)
	}
	return nil
}

// good tells which instance the session is with, and whether it counts: the hub has spoken and is not about to go.
func (s *session) good() (instance string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instance, s.instance != "" && !s.draining
}

// serve answers the hub until the session ends.
func (s *session) serve(ctx context.Context, handler http.Handler) {
	defer close(s.done)
	err := s.conn.Serve(ctx, handler)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// met waits for the hub's first word.
func (s *session) met(ctx context.Context) error {
	timer := time.NewTimer(helloLimit)
	defer timer.Stop()
	select {
	case <-s.hello:
		return nil
	case <-s.done:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			return errors.New("the hub ended the session before it said anything")
		}
		return fmt.Errorf("the session ended before the hub said anything: %w", s.err)
	case <-timer.C:
		return errors.New("the hub has not said which of its instances it is")
	case <-ctx.Done():
		return ctx.Err()
	}
}
