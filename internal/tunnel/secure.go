package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// closeTimeout bounds the farewell to a peer that may be gone.
const closeTimeout = time.Second

// secure is the inner TLS as HTTP/2 sees it: a plain connection, so that net/http speaks HTTP/2 in it whatever its ALPN says.
// It remembers why it ended.
type secure struct {
	net.Conn

	tls       *tls.Conn
	carrier   *carrier
	heartbeat Heartbeat
	// heard is when the peer was last heard of, in nanoseconds since began.
	began time.Time
	heard atomic.Int64

	mu     sync.Mutex
	cause  error
	closed bool
	done   chan struct{}
}

func newSecure(conn *tls.Conn, carrier *carrier, heartbeat Heartbeat) *secure {
	return &secure{
		Conn: conn, tls: conn, carrier: carrier, heartbeat: heartbeat.orDefault(), began: time.Now(), done: make(chan struct{}),
	}
}

// handshake does that of the inner TLS, within the time, and checks what came out of it.
func (s *secure) handshake(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.tls.HandshakeContext(ctx)
	state := s.tls.ConnectionState()
	agreed := state.Version == tls.VersionTLS13 && state.NegotiatedProtocol == Protocol
	if err != nil {
		return handshakeError(err, agreed)
	}
	if !agreed {
		return fmt.Errorf("%w: %s with protocol %q", ErrProtocol, tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	return nil
}

// Read implements net.Conn.
func (s *secure) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.fail(err)
		return n, err
	}
	s.heard.Store(int64(time.Since(s.began)))
	return n, nil
}

// Write sends p with one write of the socket's, as far as that goes.
func (s *secure) Write(p []byte) (int, error) {
	s.carrier.outer.hold()
	n, err := s.Conn.Write(p)
	err = errors.Join(err, s.carrier.outer.release())
	if err != nil {
		s.fail(err)
	}
	return n, err
}

// fail remembers the first reason for the end.
func (s *secure) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil || s.closed {
		return
	}
	if errors.Is(err, io.EOF) {
		s.cause = fmt.Errorf("%w: the peer closed it", ErrLost)
		return
	}
	s.cause = fmt.Errorf("%w: %w", ErrLost, err)
}

// end closes the connection for a reason of ours.
func (s *secure) end(cause error) {
	s.mu.Lock()
	if s.cause == nil && !s.closed {
		s.cause = cause
	}
	s.mu.Unlock()
	_ = s.Close()
}

// Close implements net.Conn. HTTP/2 calls it too: when a ping has no answer, or when the peer breaks the rules. How a farewell
// to a peer that may be gone ends is of no use to anybody.
func (s *secure) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	s.closed = true
	if s.cause == nil {
		s.cause = s.verdict()
	}
	s.mu.Unlock()
	timer := time.AfterFunc(closeTimeout, s.carrier.abort)
	defer timer.Stop()
	_ = s.Conn.Close()
	close(s.done)
	return nil
}

// verdict says why HTTP/2 closes a connection on which nothing has failed.
func (s *secure) verdict() error {
	if quiet := time.Since(s.began) - time.Duration(s.heard.Load()); quiet >= s.heartbeat.Idle+s.heartbeat.Answer/2 {
		return fmt.Errorf("%w: not a word for %s", ErrSilent, quiet.Round(time.Millisecond))
	}
	return fmt.Errorf("%w: the peer went away, or broke the rules of HTTP/2", ErrLost)
}

// Err is why the connection ended; nil while it has not.
func (s *secure) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		return nil
	}
	return s.cause
}

// innerTLS is the part of the configuration that is not the caller's to choose.
func innerTLS(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	config.NextProtos = []string{Protocol}
	config.SessionTicketsDisabled = true
	config.ClientSessionCache = nil
	config.DynamicRecordSizingDisabled = true
	return config
}
