package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/coder/websocket"
)

// dialTimeout bounds a whole dial when the caller's context does not.
const dialTimeout = 30 * time.Second

// DialConfig is how a gateway reaches a hub.
type DialConfig struct {
	// URL is the hub's, such as https://hub.example.com. A path is kept before the tunnel's own.
	URL   string
	Class Class
	// Proxy chooses the proxy; nil takes it from the environment (HTTPS_PROXY, NO_PROXY). Credentials are in its URL.
	Proxy func(*http.Request) (*url.URL, error)
	// OuterTLS is the TLS to what answers first: the hub, a balancer, a proxy. Nil believes the system's authorities.
	OuterTLS *tls.Config
	// InnerTLS is the TLS to the hub itself: the authority that signed its certificate, its name, and our certificate in
	// every class but enrol. Versions, protocol and tickets are not the caller's.
	InnerTLS  *tls.Config
	UserAgent string
	// Header goes with the request, where everybody on the way reads it: nothing secret.
	Header http.Header
	// HandshakeTimeout bounds each handshake, of the outer TLS, the WebSocket and the inner TLS; 10 seconds when 0.
	HandshakeTimeout time.Duration
	// Grace is how long requests may go on after Serve's context has ended; 10 seconds when 0.
	Grace time.Duration
	// Heartbeat is how a dead hub is noticed.
	Heartbeat Heartbeat
	// Logger is told of handlers that panic, and of requests cut off at shutdown; nil tells nobody.
	Logger *slog.Logger
}

// Dial connects to a hub. When it returns, the hub has shown its certificate and believes ours. Names are looked up anew by
// every call, and nothing is kept from one to the next.
func Dial(ctx context.Context, cfg DialConfig) (*Conn, error) {
	cfg = cfg.orDefault()
	target, err := cfg.target()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	carrier, err := cfg.upgrade(ctx, target)
	if err != nil {
		return nil, err
	}
	conn := newSecure(tls.Client(carrier, cfg.inner(target)), carrier, cfg.Heartbeat)
	first, err := meet(ctx, conn, cfg.HandshakeTimeout)
	if err != nil {
		carrier.abort()
		_ = carrier.Close()
		return nil, err
	}
	return &Conn{conn: &begun{secure: conn, first: first}, class: cfg.Class, grace: cfg.Grace, logger: cfg.Logger}, nil
}

func (cfg DialConfig) orDefault() DialConfig {
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = handshakeTimeout
	}
	if cfg.Grace <= 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	return cfg
}

// meet does the inner handshake and waits for the hub's first byte. In TLS 1.3 a client is done before the server has judged
// its certificate, and a refusal comes in place of what it would read first.
func meet(ctx context.Context, conn *secure, timeout time.Duration) ([]byte, error) {
	if err := conn.handshake(ctx, timeout); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.carrier.abort)
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("inner TLS: %w", err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, handshakeError(err, true)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("inner TLS: %w", err)
	}
	return first, ctx.Err()
}

func (cfg DialConfig) target() (*url.URL, error) {
	target, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("the hub's address: %w", err)
	}
	if target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("the hub's address %q is no https URL", target.Redacted())
	}
	if cfg.InnerTLS == nil {
		return nil, errors.New("a tunnel without an inner TLS is none")
	}
	if !cfg.Class.Known() {
		return nil, fmt.Errorf("there is no tunnel of class %q", cfg.Class)
	}
	target = target.JoinPath(Path)
	target.RawQuery = url.Values{"class": {string(cfg.Class)}}.Encode()
	return target, nil
}

func (cfg DialConfig) inner(target *url.URL) *tls.Config {
	config := innerTLS(cfg.InnerTLS)
	if config.ServerName == "" {
		config.ServerName = target.Hostname()
	}
	return config
}

// upgrade dials, through a proxy where there is one, and asks for the WebSocket.
func (cfg DialConfig) upgrade(ctx context.Context, target *url.URL) (*carrier, error) {
	line := &line{}
	line.transport = cfg.transport(line)
	header := cfg.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if cfg.UserAgent != "" {
		header.Set("User-Agent", cfg.UserAgent)
	}
	//nolint:bodyclose // the websocket owns it, and has read and closed it when it is an error
	ws, response, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     line,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader: header,
	})
	if err != nil {
		line.transport.CloseIdleConnections()
		return nil, dialError(err, response)
	}
	return newCarrier(ws, line.outer, line.socket), nil
}

func (cfg DialConfig) transport(line *line) *http.Transport {
	outer := cfg.OuterTLS.Clone()
	if outer == nil {
		outer = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	outer.NextProtos = []string{"http/1.1"}
	outer.DynamicRecordSizingDisabled = true
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               cfg.Proxy,
		DialContext:         line.dial,
		TLSClientConfig:     outer,
		Protocols:           protocols,
		TLSHandshakeTimeout: cfg.HandshakeTimeout,
		// A hub to which many come back lets them wait for their turn.
		ResponseHeaderTimeout:  2 * cfg.HandshakeTimeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		OnProxyConnectResponse: proxyAnswer,
	}
}

// line is the one connection of a dial. It keeps the socket that net/http dialled, and puts an outer connection that can
// gather writes under the WebSocket.
type line struct {
	transport *http.Transport
	socket    net.Conn
	outer     *outer
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: DefaultHeartbeat.Idle}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	l.socket = conn
	return conn, nil
}

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if conn, ok := response.Body.(io.ReadWriteCloser); ok && response.StatusCode == http.StatusSwitchingProtocols {
		l.outer = &outer{ReadWriteCloser: conn}
		response.Body = l.outer
	}
	return response, nil
}

func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return ErrProxyAuth
	default:
		return fmt.Errorf("%w: %w", ErrProxy, &RefusedError{Status: response.StatusCode, RetryAfter: retryAfterOf(response.Header)})
	}
}

// dialError says what a failed dial means.
func dialError(err error, response *http.Response) error {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: %w", ErrOuterCertificate, err)
	case response == nil:
		return fmt.Errorf("dialling the hub: %w", err)
	case response.StatusCode == http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: %w", ErrProxyAuth, err)
	case response.StatusCode == http.StatusSwitchingProtocols:
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	refused := &RefusedError{Status: response.StatusCode, RetryAfter: retryAfterOf(response.Header)}
	if response.Body != nil {
		text, _ := io.ReadAll(io.LimitReader(response.Body, kib))
		refused.Reason = printable(string(text))
	}
	return fmt.Errorf("dialling the hub: %w", refused)
}

// retryAfterOf reads seconds or a date, and believes no more than an hour.
func retryAfterOf(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	var wait time.Duration
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, int(time.Hour/time.Second))) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		wait = time.Until(date)
	}
	return min(max(wait, 0), time.Hour)
}

// printable keeps what a log or a terminal shows as it is, in one line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, ""))
	return strings.TrimSpace(text)
}
