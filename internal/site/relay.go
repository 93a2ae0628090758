package site

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Relay is a path between two processes: a TCP relay that can be cut, frozen and slowed down. With several targets it is a
// balancer that takes them in turn, and passes over those that do not answer.
type Relay struct {
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	targets []string
	next    int
	cut     bool
	frozen  chan struct{} // closed to go on; nil while bytes flow
	delay   time.Duration
	conns   map[net.Conn]bool
}

// newRelay starts a relay that ends with the test.
func newRelay(tb testing.TB, targets ...string) *Relay {
	tb.Helper()
	return newRelayAt(tb, Here, "127.0.0.1:0", targets...)
}

// newRelayAt starts a relay that listens in one place and dials from here.
func newRelayAt(tb testing.TB, place Place, listen string, targets ...string) *Relay {
	tb.Helper()
	r := &Relay{targets: targets, conns: map[net.Conn]bool{}}
	err := place.do(func() error {
		var config net.ListenConfig
		var err error
		r.listener, err = config.Listen(context.Background(), "tcp", listen)
		return err
	})
	if err != nil {
		tb.Fatalf("starting a relay: %v", err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.work.Go(r.accept)
	tb.Cleanup(r.close)
	return r
}

// Addr is the relay's host:port.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Cut closes all connections and every new one, until Restore.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for conn := range r.conns {
		_ = conn.Close()
	}
}

// Freeze keeps all connections open, takes new ones, and lets nothing through, as a path does that drops packets.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

// Restore ends Cut and Freeze.
func (r *Relay) Restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// Slow delays all bytes from now on, in each direction.
func (r *Relay) Slow(delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = delay
}

func (r *Relay) close() {
	r.cancel()
	_ = r.listener.Close()
	r.Cut()
	r.work.Wait()
}

func (r *Relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.connect(conn) })
	}
}

// connect joins a connection with a target. Every connection is known before it is used, so that Cut finds it.
func (r *Relay) connect(client net.Conn) {
	defer r.forget(client)
	if !r.remember(client) {
		return
	}
	server := r.dial()
	if server == nil {
		return
	}
	defer r.forget(server)
	if !r.remember(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.copy(server, client) })
	both.Go(func() { r.copy(client, server) })
	both.Wait()
}

func (r *Relay) dial() net.Conn {
	r.mu.Lock()
	targets := r.targets
	first := r.next
	r.next++
	r.mu.Unlock()
	dialer := net.Dialer{Timeout: 5 * time.Second}
	for i := range targets {
		conn, err := dialer.DialContext(r.ctx, "tcp", targets[(first+i)%len(targets)])
		if err == nil {
			return conn
		}
	}
	return nil
}

func (r *Relay) remember(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	return !r.cut
}

func (r *Relay) forget(conn net.Conn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// piece is what was read at once, and when it may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

// copy moves bytes until one side ends; then both do.
func (r *Relay) copy(to io.WriteCloser, from io.ReadCloser) {
	pieces := make(chan piece, 1024)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				pieces <- piece{buffer[:n], time.Now().Add(r.slowness())}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		r.hold(p.due)
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	r.hold(time.Time{})
	_ = to.Close()
	_ = from.Close()
	for range pieces { // What can no longer be delivered.
	}
	reading.Wait()
}

func (r *Relay) slowness() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.delay
}

// hold waits until something may pass.
func (r *Relay) hold(due time.Time) {
	if wait := time.Until(due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
		}
	}
	r.mu.Lock()
	frozen := r.frozen
	r.mu.Unlock()
	if frozen == nil {
		return
	}
	select {
	case <-frozen:
	case <-r.ctx.Done():
	}
}
