package testkit

import (
	"context"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// sessions remembers what the simulator does not say of sessions.
type sessions struct {
	mu     sync.Mutex
	rest   map[string]bool
	killed map[string]bool
}

func (s *sessions) openedREST(answer string) {
	// The answer is {"value":"<id>"}.
	fields := strings.Split(answer, `"`)
	if len(fields) < 4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest == nil {
		s.rest = map[string]bool{}
	}
	s.rest[fields[3]] = true
}

func (s *sessions) kill(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed == nil {
		s.killed = map[string]bool{}
	}
	for _, id := range ids {
		s.killed[id] = true
	}
	for id := range s.rest {
		s.killed[id] = true
	}
	clear(s.rest)
}

func (s *sessions) isKilled(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killed[id]
}

// KillSessions ends all sessions, SOAP and REST, but those of Client: their next call is answered NotAuthenticated.
func (vc *VCenter) KillSessions() {
	vc.world.Lock()
	defer vc.world.Unlock()
	ctx := vc.context()
	manager := vc.registry().SessionManager()
	view, ok := ctx.Session.Get(manager.Self).(*simulator.SessionManager)
	if !ok {
		return
	}
	var ids []string
	for _, session := range view.SessionList {
		if session.UserAgent != ownAgent {
			ids = append(ids, session.Key)
		}
	}
	vc.sessions.kill(ids)
	manager.TerminateSession(ctx, &types.TerminateSession{This: manager.Self, SessionId: ids})
	vc.waits.interrupt(ids)
}

// waitKey names one collector of one session.
type waitKey struct{ session, collector string }

// waits are the calls that wait for updates.
type waits struct {
	mu      sync.Mutex
	waiting map[waitKey]*wait
}

type wait struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// enter notes a wait that ends with ctx. A second wait on the same collector ends the first, as a vCenter does.
func (w *waits) enter(ctx context.Context, key waitKey) func() {
	own := &wait{}
	own.ctx, own.cancel = context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[waitKey]*wait{}
	}
	if earlier := w.waiting[key]; earlier != nil {
		earlier.cancel()
	}
	w.waiting[key] = own
	return func() {
		own.cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.waiting[key] == own {
			delete(w.waiting, key)
		}
	}
}

// contextOf returns the context that the wait of the key ends with.
func (w *waits) contextOf(key waitKey) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if own := w.waiting[key]; own != nil {
		return own.ctx
	}
	return context.Background()
}

// cancel ends the wait of the key, if there is one.
func (w *waits) cancel(key waitKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if own := w.waiting[key]; own != nil {
		own.cancel()
	}
}

// interrupt ends the waits of sessions; nil means all.
func (w *waits) interrupt(sessions []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, own := range w.waiting {
		if sessions == nil {
			own.cancel()
		}
		for _, id := range sessions {
			if key.session == id {
				own.cancel()
			}
		}
	}
}

func (vc *VCenter) endWaits() { vc.waits.interrupt(nil) }
