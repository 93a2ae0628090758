package sessions

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// sourceHandshakes bounds how many handshakes one address may have going on at once; more wait for their turn.
	sourceHandshakes = 16
	// sourceWaiting bounds how many wait.
	sourceWaiting = 1024
	// sourcePatience is how long one waits.
	sourcePatience = 10 * time.Second
	// failuresAllowed is how many enrolments of one address may be refused within failuresWithin.
	failuresAllowed = 20
	failuresWithin  = time.Minute
)

var errTooMany = errors.New("too many at once from this address")

// sources bounds what one address may ask of the hub before it has shown who it is.
type sources struct {
	mu   sync.Mutex
	from map[string]*source
}

type source struct {
	turns    chan struct{}
	users    int // those who have a turn or wait for one
	failures int
	since    time.Time // when the first of the failures was
}

func newSources() *sources { return &sources{from: map[string]*source{}} }

// hostOf is the address without the port.
func hostOf(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	return host
}

// enter waits for the address's turn. The caller calls leave when its handshake is over, if there was no error.
func (s *sources) enter(ctx context.Context, address string) (leave func(), err error) {
	from, err := s.join(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sourcePatience)
	defer cancel()
	select {
	case from.turns <- struct{}{}:
		return func() {
			<-from.turns
			s.part(address, from)
		}, nil
	case <-ctx.Done():
		s.part(address, from)
		return nil, errTooMany
	}
}

func (s *sources) join(address string) (*source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.get(address)
	if from.users >= sourceHandshakes+sourceWaiting {
		return nil, errTooMany
	}
	from.users++
	return from, nil
}

func (s *sources) get(address string) *source {
	from, ok := s.from[address]
	if !ok {
		from = &source{turns: make(chan struct{}, sourceHandshakes)}
		s.from[address] = from
	}
	return from
}

func (s *sources) part(address string, from *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from.users--
	if from.users == 0 && from.failures == 0 {
		delete(s.from, address)
	}
}

// failed counts an enrolment of the address that was refused.
func (s *sources) failed(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.get(address)
	if from.failures == 0 || now.Sub(from.since) > failuresWithin {
		from.failures, from.since = 0, now
	}
	from.failures++
}

// barred tells whether too many enrolments of the address were refused lately.
func (s *sources) barred(address string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.from[address]
	return ok && from.failures >= failuresAllowed && now.Sub(from.since) <= failuresWithin
}

// forget drops addresses that have been quiet.
func (s *sources) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, from := range s.from {
		if from.users == 0 && now.Sub(from.since) > failuresWithin {
			delete(s.from, address)
		}
	}
}
