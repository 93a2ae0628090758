package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// defaultGrace is how long requests may go on when nothing else is said.
const defaultGrace = 10 * time.Second

// Conn is the gateway's end of a tunnel.
type Conn struct {
	conn   *begun
	class  Class
	grace  time.Duration
	logger *slog.Logger
}

// ConnectionState is that of the inner TLS: the hub's certificate, and the exporter. Requests have it too, in their TLS field.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.conn.tls.ConnectionState() }

// RemoteAddr is the address of what is next on the way to the hub, such as a proxy.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Close ends the connection. Requests under way fail.
func (c *Conn) Close() error {
	c.conn.end(ErrClosed)
	return nil
}

// Serve answers the hub's requests until the connection ends, which is an error that says why, or until ctx does. Then the hub
// is told to ask no more, requests under way have the grace to come to their end, and Serve returns nil. A connection that has
// ended cancels the contexts of its requests, and Serve does not wait for their handlers. It may be called once.
func (c *Conn) Serve(ctx context.Context, handler http.Handler) error {
	listener, states := newSingle(c.conn), newStates()
	server := &http.Server{
		Handler:           c.identified(handler),
		Protocols:         onlyHTTP2(),
		HTTP2:             c.class.http2(c.conn.heartbeat),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: handshakeTimeout,
		ErrorLog:          slog.NewLogLogger(c.logger.Handler(), slog.LevelWarn),
		ConnState:         states.enter,
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		c.drain(context.WithoutCancel(ctx), server, states)
	})
	err := server.Serve(listener)
	stopped := !stop()
	if stopped {
		<-drained
	}
	cause := c.conn.Err()
	c.conn.end(ErrClosed)
	if listener.taken {
		<-states.ended
	}
	switch {
	case stopped:
		return nil
	case cause != nil:
		return cause
	default:
		return fmt.Errorf("serving a tunnel: %w", err)
	}
}

// drain lets requests come to their end. A server that has not begun with the connection would not tell the hub, and wait in
// vain.
func (c *Conn) drain(ctx context.Context, server *http.Server, states *states) {
	ctx, cancel := context.WithTimeout(ctx, c.grace)
	defer cancel()
	select {
	case <-states.begun:
	case <-c.conn.done:
	case <-ctx.Done():
	}
	if err := server.Shutdown(ctx); err != nil {
		c.logger.Warn("Requests of the hub were cut off at shutdown.", "error", err)
	}
}

// states are those of the server's one connection.
type states struct {
	begun, ended chan struct{}
	once         sync.Once
}

func newStates() *states { return &states{begun: make(chan struct{}), ended: make(chan struct{})} }

// enter is told of every state. HTTP/2 has begun when it is active.
func (s *states) enter(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		s.once.Do(func() { close(s.begun) })
	case http.StateClosed:
		close(s.ended)
	default:
	}
}

// identified gives requests the state of the inner TLS, as net/http does for TLS that it knows of.
func (c *Conn) identified(handler http.Handler) http.Handler {
	state := c.ConnectionState()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &state
		handler.ServeHTTP(w, r)
	})
}

// single is a listener with one connection. Its second Accept waits for the end: the connection's or its own.
type single struct {
	conn   *begun
	taken  bool
	closed chan struct{}
	once   sync.Once
}

func newSingle(conn *begun) *single { return &single{conn: conn, closed: make(chan struct{})} }

// Accept implements net.Listener.
func (s *single) Accept() (net.Conn, error) {
	if !s.taken {
		s.taken = true
		return s.conn, nil
	}
	select {
	case <-s.conn.done:
	case <-s.closed:
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (s *single) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements net.Listener.
func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }

// begun is a connection of which the first bytes have been read already.
type begun struct {
	*secure

	first []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.secure.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
