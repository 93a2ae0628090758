package embedded

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// newMemoryTransport returns a transport to a handler in the same process. It is a real HTTP connection over a pipe, so
// that streams, cancellation and back pressure are what they are over a tunnel.
func newMemoryTransport(handler http.Handler) *memoryTransport {
	listener := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	t := &memoryTransport{
		listener: listener,
		server:   &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		client: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.dial(ctx) },
		},
	}
	go func() { _ = t.server.Serve(listener) }() // ends with ErrServerClosed when the transport is closed
	return t
}

type memoryTransport struct {
	listener *pipeListener
	server   *http.Server
	client   *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *memoryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "" || r.URL.Host == "" {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = "http", "gateway"
	}
	return t.client.RoundTrip(r)
}

func (t *memoryTransport) close() error {
	t.client.CloseIdleConnections()
	return t.server.Close()
}

// pipeListener accepts the connections that dial makes.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

// Network implements net.Addr.
func (pipeAddr) Network() string { return "memory" }

// String implements net.Addr.
func (pipeAddr) String() string { return "gateway" }
