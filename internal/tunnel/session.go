package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
)

// Session is the hub's end of a tunnel: an http.RoundTripper to one gateway. Requests name any host; only path, headers and
// body matter. It may be used by many goroutines.
type Session struct {
	conn   *secure
	client *http.ClientConn
	class  Class
}

func newSession(conn *secure, class Class) (*Session, error) {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocols:              onlyHTTP2(),
		HTTP2:                  class.http2(conn.heartbeat),
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	client, err := transport.NewClientConn(context.Background(), "http", "gateway:80")
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("starting HTTP/2: %w", err)
	}
	return &Session{conn: conn, client: client, class: class}, nil
}

// RoundTrip implements http.RoundTripper. It waits while as many requests are under way as the class allows.
func (s *Session) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.client.RoundTrip(r)
	if err == nil {
		return response, nil
	}
	if cause := s.conn.Err(); cause != nil {
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	if s.Draining() {
		return nil, fmt.Errorf("%w: %w", ErrDraining, err)
	}
	return nil, err
}

// Draining tells whether the gateway has said that it takes no more requests. Those under way may still come to their end.
func (s *Session) Draining() bool {
	if s.client.InFlight() >= classes[s.class].streams {
		return false // it takes no more now, and this does not tell for ever
	}
	if s.client.Reserve() != nil {
		return true
	}
	s.client.Release()
	return false
}

// Class is what the gateway dialled for.
func (s *Session) Class() Class { return s.class }

// ConnectionState is that of the inner TLS: the gateway's certificate, and the exporter.
func (s *Session) ConnectionState() tls.ConnectionState { return s.conn.tls.ConnectionState() }

// RemoteAddr is where the connection comes from: the gateway, or what is between.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// InFlight counts the requests under way.
func (s *Session) InFlight() int { return s.client.InFlight() }

// Done is closed when the session is dead: closed by either end, cut, or silent.
func (s *Session) Done() <-chan struct{} { return s.conn.done }

// Err is why the session is dead; nil while it lives.
func (s *Session) Err() error { return s.conn.Err() }

// Close ends the session. Requests under way fail.
func (s *Session) Close() error {
	s.conn.end(ErrClosed)
	return s.client.Close()
}
