package sessions

import (
	"net"
	"sync"
	"time"
)

const (
	// failuresAllowed is how many enrolments of one address may be refused within failuresWithin.
	failuresAllowed = 20
	failuresWithin  = time.Minute
)

// sources bounds how often one address may try to be let in. How much it may have under way at once lanes bound.
type sources struct {
	mu   sync.Mutex
	from map[string]*failures
}

type failures struct {
	count int
	since time.Time // when the first of them was
}

func newSources() *sources { return &sources{from: map[string]*failures{}} }

// hostOf is the address without the port.
func hostOf(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	return host
}

// failed counts an enrolment of the address that was refused.
func (s *sources) failed(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.from[address]
	if !ok || now.Sub(from.since) > failuresWithin {
		from = &failures{since: now}
		s.from[address] = from
	}
	from.count++
}

// barred tells whether too many enrolments of the address were refused lately.
func (s *sources) barred(address string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.from[address]
	return ok && from.count >= failuresAllowed && now.Sub(from.since) <= failuresWithin
}

// forget drops addresses that have been quiet.
func (s *sources) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, from := range s.from {
		if now.Sub(from.since) > failuresWithin {
			delete(s.from, address)
		}
	}
}
