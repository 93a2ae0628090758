package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

const (
	// maxRequest bounds the headers of a request for a tunnel, in bytes.
	maxRequest = 8 * kib
	// socketBuffer is the room for the frames of small messages, which a hub has for every gateway. What is larger passes by it.
	socketBuffer = kib
	// retryAfter is what a refused gateway is told to wait at least, in seconds.
	retryAfter = 2
)

// AcceptConfig is how a hub takes tunnels.
type AcceptConfig struct {
	// TLS is the inner TLS: the hub's certificate, the authority that signs gateways (ClientCAs), and VerifyConnection, which
	// decides about revocation. Versions, protocol, tickets and ClientAuth are not the caller's: TLS 1.3, no tickets, and a
	// certificate that is asked for and verified in every class but enrol.
	TLS *tls.Config
	// HandshakeTimeout bounds the inner handshake; 10 seconds when 0.
	HandshakeTimeout time.Duration
	// Handshakes is shared by all calls, and bounds how many handshakes there are at once. Nil does not.
	Handshakes *Handshakes
	// Heartbeat is how a dead gateway is noticed.
	Heartbeat Heartbeat
}

// Accept turns the request of a gateway into a session. It has answered the request in any case, and blocks no longer than
// the handshake takes. The session outlives the request.
func Accept(w http.ResponseWriter, r *http.Request, cfg AcceptConfig) (*Session, error) {
	class := Class(r.URL.Query().Get("class"))
	if status, err := judge(r, class); err != nil {
		refuse(w, status, err)
		return nil, err
	}
	leave, err := cfg.Handshakes.enter(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		refuse(w, http.StatusServiceUnavailable, err)
		return nil, err
	}
	defer leave()
	hijacker := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hijacker, r, nil)
	if err != nil {
		return nil, fmt.Errorf("accepting a websocket: %w", err)
	}
	carrier := newCarrier(ws, hijacker.outer, hijacker.socket)
	session, err := greet(carrier, class, cfg)
	if err != nil {
		carrier.abort()
		_ = carrier.Close()
		return nil, err
	}
	return session, nil
}

// judge refuses what no gateway sends, before anything is spent on it.
func judge(r *http.Request, class Class) (status int, err error) {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	switch {
	case !class.Known():
		return http.StatusBadRequest, fmt.Errorf("there is no tunnel of class %.20q", class)
	case r.ProtoMajor != 1:
		return http.StatusHTTPVersionNotSupported, errors.New("a tunnel is dialled with HTTP/1.1")
	case size > maxRequest:
		return http.StatusRequestHeaderFieldsTooLarge, errors.New("the request's headers are too large")
	case r.Header.Get("Origin") != "":
		return http.StatusForbidden, errors.New("a browser has no business here")
	default:
		return 0, nil
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	http.Error(w, err.Error(), status)
}

// greet does the handshake of the inner TLS and starts HTTP/2.
func greet(carrier *carrier, class Class, cfg AcceptConfig) (*Session, error) {
	config := innerTLS(cfg.TLS)
	config.GetConfigForClient = nil
	config.ClientAuth = tls.NoClientCert
	if class.mutual() {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	timeout := cfg.HandshakeTimeout
	if timeout <= 0 {
		timeout = handshakeTimeout
	}
	conn := newSecure(tls.Server(carrier, config), carrier, cfg.Heartbeat)
	if err := conn.handshake(context.Background(), timeout); err != nil {
		return nil, err
	}
	return newSession(conn, class)
}

// hijacker takes the connection over for the WebSocket, through an outer connection that can gather writes.
type hijacker struct {
	http.ResponseWriter

	outer  *outer
	socket net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("taking the connection over: %w", err)
	}
	h.outer, h.socket = &outer{ReadWriteCloser: conn}, conn
	wrapped := &hijacked{Conn: conn, outer: h.outer}
	reader := buffers.Reader
	if reader.Buffered() == 0 {
		reader = bufio.NewReaderSize(wrapped, socketBuffer)
	}
	return wrapped, bufio.NewReadWriter(reader, bufio.NewWriterSize(wrapped, socketBuffer)), nil
}

// hijacked is the connection taken over, written to through the outer connection.
type hijacked struct {
	net.Conn

	outer *outer
}

// Write implements net.Conn.
func (h *hijacked) Write(p []byte) (int, error) { return h.outer.Write(p) }
