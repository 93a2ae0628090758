package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

const (
	hubName    = "hub.test"
	gatewayURI = "spiffe://palette/project/default/gateway/g/replica/r"
)

// tunnelRow is one line of the table about the tunnel.
type tunnelRow struct {
	work, ours, raw, ratio, goal string
}

var tunnelTable []tunnelRow

func printTunnelTable() {
	if len(tunnelTable) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tunnel: work\tours\tdirect\tratio\tgoal\t")
	for _, r := range tunnelTable {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", r.work, r.ours, r.raw, r.ratio, r.goal)
	}
	_ = w.Flush()
}

// wire is a hub and what gateways dial it with, with a delay on the way or none.
type wire struct {
	b        *testing.B
	public   *tunneltest.Authority
	private  *tunneltest.Authority
	server   *httptest.Server
	sessions chan *tunnel.Session
	delay    time.Duration
}

func newWire(b *testing.B, delay time.Duration) *wire {
	b.Helper()
	w := &wire{
		b: b, delay: delay, sessions: make(chan *tunnel.Session, 8),
		public: tunneltest.NewAuthority(b, "public"), private: tunneltest.NewAuthority(b, "private"),
	}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		session, err := tunnel.Accept(rw, r, tunnel.AcceptConfig{TLS: w.serverTLS()})
		if err != nil {
			b.Error(err)
			return
		}
		w.sessions <- session
	}))
	w.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{w.public.Server("127.0.0.1")}}
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.StartTLS()
	b.Cleanup(w.server.Close)
	return w
}

// serverTLS is the mutual TLS of a hub; the yardsticks use the same.
func (w *wire) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{w.private.Server(hubName)},
		ClientCAs: w.private.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func (w *wire) clientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: w.private.Pool(), ServerName: hubName,
		Certificates: []tls.Certificate{w.private.Client(gatewayURI)},
	}
}

// through is an address that leads to another, over the delay.
func (w *wire) through(address string) string {
	if w.delay == 0 {
		return address
	}
	return tunneltest.NewRelay(w.b, address, w.delay).Addr()
}

// tunnel connects a gateway that answers with work.
func (w *wire) tunnel(class tunnel.Class) http.RoundTripper {
	w.b.Helper()
	conn, err := tunnel.Dial(w.b.Context(), tunnel.DialConfig{
		URL: "https://" + w.through(w.server.Listener.Addr().String()), Class: class,
		Proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
		OuterTLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.public.Pool()},
		InnerTLS: w.clientTLS(),
	})
	if err != nil {
		w.b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = conn.Serve(context.Background(), work()) })
	session := <-w.sessions
	w.b.Cleanup(func() {
		_ = session.Close()
		serving.Wait()
	})
	return session
}

// direct is the yardstick for requests: HTTP/2 over mutual TLS with the windows of bulk, and nothing between.
func (w *wire) direct() http.RoundTripper {
	w.b.Helper()
	config := &http.HTTP2Config{
		MaxConcurrentStreams: 64, MaxReceiveBufferPerStream: 16 << 20, MaxReceiveBufferPerConnection: 128 << 20, MaxReadFrameSize: 256 << 10,
	}
	server := httptest.NewUnstartedServer(work())
	server.TLS = w.serverTLS()
	server.EnableHTTP2 = true
	server.Config.HTTP2 = config
	server.StartTLS()
	w.b.Cleanup(server.Close)
	address := w.through(server.Listener.Addr().String())
	transport := &http.Transport{
		TLSClientConfig: w.clientTLS(), ForceAttemptHTTP2: true, HTTP2: config,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	w.b.Cleanup(transport.CloseIdleConnections)
	return secureScheme{transport}
}

// secureScheme asks over TLS for what the tunnel is asked for in clear.
type secureScheme struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s secureScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "https"
	return s.RoundTripper.RoundTrip(r)
}

// pipe is the yardstick for bytes: both ends of one connection with mutual TLS, and no HTTP.
func (w *wire) pipe() (up, down net.Conn) {
	w.b.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", w.serverTLS())
	if err != nil {
		w.b.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		conn, err := listener.Accept()
		if err == nil {
			err = conn.(*tls.Conn).HandshakeContext(context.Background())
		}
		if err != nil {
			w.b.Error(err)
		}
		accepted <- conn
	})
	client, err := tls.Dial("tcp", w.through(listener.Addr().String()), w.clientTLS())
	if err != nil {
		w.b.Fatal(err)
	}
	accepting.Wait()
	server := <-accepted
	w.b.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

// work is what gateways answer with: echo, take, give, and wait.
func work() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/take", func(w http.ResponseWriter, r *http.Request) {
		n, _ := take(r.Body)
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/give", func(w http.ResponseWriter, r *http.Request) { give(r.Context(), w) })
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return mux
}

// take reads to the end and counts.
func take(r io.Reader) (int64, error) {
	buffer := make([]byte, 256<<10)
	var total int64
	for {
		n, err := r.Read(buffer)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// give writes until it is told to stop.
func give(ctx context.Context, w io.Writer) {
	buffer := make([]byte, 256<<10)
	for ctx.Err() == nil {
		if _, err := w.Write(buffer); err != nil {
			return
		}
	}
}

// until is a body that ends at a time.
type until struct{ end time.Time }

// Read implements io.Reader.
func (u until) Read(p []byte) (int, error) {
	if time.Now().After(u.end) {
		return 0, io.EOF
	}
	return len(p), nil
}
