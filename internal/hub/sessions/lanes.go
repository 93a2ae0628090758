package sessions

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	// handshakesOf is how many of the handshakes at once one network may have, so that nobody has all of them by opening
	// connections and saying nothing. Behind it others of the network wait.
	handshakesOf = maxHandshakes / 2
	waitingOf    = 1024
	lanePatience = 5 * time.Second
	// enrolments is how many processes without a certificate there may be at once, and enrolmentsOf how many of one network.
	enrolments   = 256
	enrolmentsOf = 64
)

// lanes bound what is under way at once, by network and in total.
type lanes struct {
	all, each, room int

	mu    sync.Mutex
	total int
	lanes map[string]*lane
}

type lane struct {
	places chan struct{}
	users  int
}

// newLanes allows so many in all and of each network, and lets so many more of a network wait for a moment. All of 0 has no
// limit.
func newLanes(all, each, room int) *lanes {
	return &lanes{all: all, each: each, room: room, lanes: map[string]*lane{}}
}

// enter takes a place for the address, and tells whether there is one. Who has entered leaves.
func (l *lanes) enter(ctx context.Context, address string) (leave func(), ok bool) {
	key := networkOf(address)
	mine := l.join(key)
	if mine == nil {
		return nil, false
	}
	select {
	case mine.places <- struct{}{}:
		return func() { <-mine.places; l.part(key, mine) }, true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, lanePatience)
	defer cancel()
	select {
	case mine.places <- struct{}{}:
		return func() { <-mine.places; l.part(key, mine) }, true
	case <-ctx.Done():
		l.part(key, mine)
		return nil, false
	}
}

// join counts one more of a network; nil is too many.
func (l *lanes) join(key string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine, ok := l.lanes[key]
	if !ok {
		mine = &lane{places: make(chan struct{}, l.each)}
	}
	if mine.users >= l.each+l.room || l.all > 0 && l.total >= l.all {
		return nil
	}
	mine.users++
	l.total++
	l.lanes[key] = mine
	return mine
}

func (l *lanes) part(key string, mine *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if mine.users--; mine.users == 0 {
		delete(l.lanes, key)
	}
}

// networkOf is the address itself, or the /64 of an IPv6 one, of which every host has as many addresses as it likes.
func networkOf(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
