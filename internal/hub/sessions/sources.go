package sessions

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// sourceHandshakes bounds how many handshakes one address may have going on at once, to half of all, so that whoever says
	// nothing from there does not keep others out; more wait for their turn.
	sourceHandshakes = maxHandshakes / 2
	// sourceWaiting bounds how many wait, and sourcePatience how long.
	sourceWaiting  = 1024
	sourcePatience = 10 * time.Second
	// failuresAllowed is how many enrolments of one address may be refused within failuresWithin.
	failuresAllowed = 20
	failuresWithin  = time.Minute
	// network6 is the length of the prefix that one customer has of IPv6.
	network6 = 64
)

var errTooMany = errors.New("too many handshakes from this address")

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

// networkOf is what an address is counted as: of IPv6 one may have as many as one likes.
func networkOf(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Unmap().Is4() {
		return address
	}
	prefix, err := addr.WithZone("").Prefix(network6)
	if err != nil {
		return address
	}
	return prefix.String()
}

// enter waits for the address's turn. The caller calls leave when its handshake is over, if there was no error.
func (s *sources) enter(ctx context.Context, address string) (leave func(), err error) {
	address = networkOf(address)
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
	from := s.get(networkOf(address))
	if from.failures == 0 || now.Sub(from.since) > failuresWithin {
		from.failures, from.since = 0, now
	}
	from.failures++
}

// barred tells whether too many enrolments of the address were refused lately.
func (s *sources) barred(address string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.from[networkOf(address)]
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
