package tunnel

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Handshakes bounds how many handshakes a hub does at the same time, and how many more wait for their turn. A thousand
// gateways that come back at once are taken in one after the other; what is above both is told to come back later. One
// address never has more than half of the places, so that whoever says nothing from there does not keep others out.
type Handshakes struct {
	places   chan struct{}
	patience time.Duration

	mu      sync.Mutex
	waiting int
	room    int
	sources map[netip.Prefix]*source
}

// source is an address, or the network of one, that handshakes come from.
type source struct {
	places chan struct{}
	users  int
}

// NewHandshakes allows so many handshakes at once, and sixteen times as many to wait for a few seconds.
func NewHandshakes(atOnce int) *Handshakes {
	return &Handshakes{
		places: make(chan struct{}, atOnce), patience: 5 * time.Second, room: 16 * atOnce, sources: map[netip.Prefix]*source{},
	}
}

// enter waits for a turn: first among those of the same address, then among all. Nil lets everybody in at once.
func (h *Handshakes) enter(ctx context.Context, remote string) (leave func(), err error) {
	if h == nil {
		return func() {}, nil
	}
	key := network(remote)
	s, ok := h.join(key)
	if !ok {
		return nil, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	if !take(ctx, s.places) {
		h.part(key, s, true)
		return nil, ErrBusy
	}
	if !take(ctx, h.places) {
		<-s.places
		h.part(key, s, true)
		return nil, ErrBusy
	}
	h.seat()
	return func() {
		<-h.places
		<-s.places
		h.part(key, s, false)
	}, nil
}

func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// join begins to wait, unless there are too many who do.
func (h *Handshakes) join(key netip.Prefix) (*source, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting >= h.room {
		return nil, false
	}
	h.waiting++
	s := h.sources[key]
	if s == nil {
		s = &source{places: make(chan struct{}, max(1, cap(h.places)/2))}
		h.sources[key] = s
	}
	s.users++
	return s, true
}

func (h *Handshakes) seat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting--
}

func (h *Handshakes) part(key netip.Prefix, s *source, waiting bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if waiting {
		h.waiting--
	}
	s.users--
	if s.users == 0 {
		delete(h.sources, key)
	}
}

// network is what counts as one address: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has all.
func network(remote string) netip.Prefix {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := address.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
