package tunneltest

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is an HTTP proxy that connects: with credentials, and, where it has an authority, looking into the TLS that passes.
type Proxy struct {
	server *httptest.Server
	// inspect makes the certificates that a client sees in place of the real ones; nil passes bytes on.
	inspect *Authority
	// trust is what an inspecting proxy believes itself.
	trust *Authority
	// user and password are asked for unless empty.
	user, password string
	// alter is the number of bytes after which an inspecting proxy turns one over, once; 0 alters nothing.
	alter int64
	// target is what all connections lead to, whatever clients ask for; "" leads them to what they ask for.
	target string
	// listener is where the proxy listens; nil is any address.
	listener net.Listener
	// refuse is the status it answers with when it is not 0.
	refuse int

	connected atomic.Int64
	seen      atomic.Int64
	altered   atomic.Bool
}

// ProxyOption changes a proxy.
type ProxyOption func(*Proxy)

// Inspecting makes the proxy end TLS with certificates of corporate, and start it anew believing in trust.
func Inspecting(corporate, trust *Authority) ProxyOption {
	return func(p *Proxy) { p.inspect, p.trust = corporate, trust }
}

// Asking makes the proxy ask for credentials.
func Asking(user, password string) ProxyOption {
	return func(p *Proxy) { p.user, p.password = user, password }
}

// Altering makes an inspecting proxy change one byte after so many.
func Altering(after int64) ProxyOption { return func(p *Proxy) { p.alter = after } }

// Leading makes the proxy connect to one address, whatever name clients ask for.
func Leading(address string) ProxyOption { return func(p *Proxy) { p.target = address } }

// Listening makes the proxy use a listener.
func Listening(listener net.Listener) ProxyOption { return func(p *Proxy) { p.listener = listener } }

// Refusing makes the proxy refuse everybody.
func Refusing(status int) ProxyOption { return func(p *Proxy) { p.refuse = status } }

// NewProxy starts a proxy that ends with the test.
func NewProxy(tb testing.TB, options ...ProxyOption) *Proxy {
	tb.Helper()
	p := &Proxy{}
	for _, o := range options {
		o(p)
	}
	p.server = httptest.NewUnstartedServer(p)
	if p.listener != nil {
		_ = p.server.Listener.Close()
		p.server.Listener = p.listener
	}
	p.server.Start()
	tb.Cleanup(p.server.Close)
	return p
}

// URL is the proxy's address, with credentials where there are any.
func (p *Proxy) URL(user *url.Userinfo) *url.URL {
	u, _ := url.Parse(p.server.URL)
	u.User = user
	return u
}

// Connected counts the connections it made.
func (p *Proxy) Connected() int { return int(p.connected.Load()) }

// Seen counts the bytes that an inspecting proxy has read in clear.
func (p *Proxy) Seen() int { return int(p.seen.Load()) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.refuse != 0:
		w.Header().Set("Retry-After", "7")
		http.Error(w, "no", p.refuse)
		return
	case r.Method != http.MethodConnect:
		http.Error(w, "this proxy only connects", http.StatusMethodNotAllowed)
		return
	case p.user != "" && r.Header.Get("Proxy-Authorization") != "Basic "+
		base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password)):
		w.Header().Set("Proxy-Authenticate", `Basic realm="test"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	p.connect(w, r)
}

func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	far, err := new(net.Dialer).DialContext(r.Context(), "tcp", cmp.Or(p.target, r.Host))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	p.connected.Add(1)
	near = &replayed{Conn: near, reader: buffers.Reader}
	if p.inspect != nil {
		client, server, err := p.open(r.Host, near, far)
		if err != nil {
			return
		}
		near, far = client, server
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near) })
	both.Go(func() { p.copy(near, far) })
	both.Wait()
}

// open ends the TLS of the client and starts one to the server.
func (p *Proxy) open(address string, near, far net.Conn) (net.Conn, net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	client := tls.Server(near, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{p.inspect.Server(host)}})
	if err := client.HandshakeContext(context.Background()); err != nil {
		return nil, nil, err
	}
	server := tls.Client(far, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.trust.Pool(), ServerName: host})
	return client, server, server.HandshakeContext(context.Background())
}

func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if seen := p.seen.Add(int64(n)); p.alter > 0 && seen > p.alter && p.altered.CompareAndSwap(false, n > 0) {
			buffer[n-1] ^= 1
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// replayed is a connection of which some bytes have been read already.
type replayed struct {
	net.Conn

	reader *bufio.Reader
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) { return r.reader.Read(p) }
