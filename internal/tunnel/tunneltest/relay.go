package tunneltest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Relay stands between two ends of TCP connections, as a network does: it takes time, it freezes, it breaks.
type Relay struct {
	listener net.Listener
	target   string
	delay    time.Duration

	mu     sync.Mutex
	frozen chan struct{}
	conns  map[net.Conn]struct{}
	closed bool
	work   sync.WaitGroup
}

// NewRelay forwards to a target, each direction taking the delay. It ends with the test.
func NewRelay(tb testing.TB, target string, delay time.Duration) *Relay {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &Relay{listener: listener, target: target, delay: delay, conns: map[net.Conn]struct{}{}}
	r.work.Go(r.accept)
	tb.Cleanup(r.close)
	return r
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Freeze stops forwarding: nothing arrives, nothing is reset.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

// Thaw goes on forwarding.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// Cut resets all connections.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	clear(r.conns)
}

func (r *Relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	_ = r.listener.Close()
	r.Thaw()
	r.Cut()
	r.work.Wait()
}

func (r *Relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.serve(conn) })
	}
}

func (r *Relay) serve(near net.Conn) {
	far, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.target)
	if err != nil || !r.keep(near, far) {
		_ = near.Close()
		if far != nil {
			_ = far.Close()
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.forward(far, near) })
	both.Go(func() { r.forward(near, far) })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, near)
	delete(r.conns, far)
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = struct{}{}
	}
	return true
}

// chunk is what was read at once, and when it is to arrive.
type chunk struct {
	data []byte
	due  time.Time
}

var chunks = sync.Pool{New: func() any { return new(make([]byte, 256<<10)) }}

// forward reads from one end and writes to the other, later. What is on its way is bounded by the queue.
func (r *Relay) forward(to, from net.Conn) {
	queue := make(chan chunk, 1024)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(queue)
		for {
			r.wait(time.Time{}) // a frozen network takes nothing in either, so that buffers on the way fill up
			buffer, _ := chunks.Get().(*[]byte)
			n, err := from.Read(*buffer)
			if n > 0 {
				queue <- chunk{data: (*buffer)[:n], due: time.Now().Add(r.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	var failed error
	for c := range queue {
		if failed == nil {
			r.wait(c.due)
			_, failed = to.Write(c.data)
		}
		buffer := c.data[:cap(c.data)]
		chunks.Put(&buffer)
	}
	reading.Wait()
	if tcp, ok := to.(*net.TCPConn); ok && !errors.Is(failed, io.ErrClosedPipe) {
		_ = tcp.CloseWrite()
	}
	if failed != nil {
		_ = from.Close()
	}
}

// wait returns at the time, and not while the relay is frozen.
func (r *Relay) wait(due time.Time) {
	if left := time.Until(due); left > 0 {
		timer := time.NewTimer(left)
		<-timer.C
	}
	r.mu.Lock()
	frozen := r.frozen
	r.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}
