package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

const (
	hubName    = "hub.test"
	gatewayURI = "spiffe://palette/project/default/gateway/g/replica/r"
)

// environment is the listener of the proxy that HTTPS_PROXY names. net/http reads that once in the life of a process.
var environment net.Listener

func TestMain(m *testing.M) {
	var err error
	if environment, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
		panic(err)
	}
	if err := os.Setenv("HTTPS_PROXY", "http://gw:secret@"+environment.Addr().String()); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// world is a hub that accepts tunnels behind a TLS of the public's.
type world struct {
	t        *testing.T
	public   *tunneltest.Authority
	private  *tunneltest.Authority
	server   *httptest.Server
	accept   tunnel.AcceptConfig
	sessions chan *tunnel.Session
	refused  chan error
}

func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := &world{
		t:       t,
		public:  tunneltest.NewAuthority(t, "public authority"),
		private: tunneltest.NewAuthority(t, "the hub's authority"), sessions: make(chan *tunnel.Session, 1024), refused: make(chan error, 1024),
	}
	w.accept = tunnel.AcceptConfig{
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{w.private.Server(hubName)}, ClientCAs: w.private.Pool(),
		},
		Handshakes: tunnel.NewHandshakes(8),
	}
	for _, c := range change {
		c(w)
	}
	w.server = httptest.NewUnstartedServer(w)
	w.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{w.public.Server("127.0.0.1", "localhost")}}
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// ServeHTTP implements http.Handler.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	session, err := tunnel.Accept(rw, r, w.accept)
	if err != nil {
		w.refused <- err
		return
	}
	w.sessions <- session
}

func (w *world) dialConfig(class tunnel.Class) tunnel.DialConfig {
	cfg := tunnel.DialConfig{
		URL: w.server.URL, Class: class,
		Proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
		OuterTLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.public.Pool()},
		InnerTLS: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: w.private.Pool(), ServerName: hubName},
	}
	if class != tunnel.ClassEnrol {
		cfg.InnerTLS.Certificates = []tls.Certificate{w.private.Client(gatewayURI)}
	}
	return cfg
}

// pair is both ends of a tunnel; the gateway serves until the test ends.
type pair struct {
	session *tunnel.Session
	conn    *tunnel.Conn
	served  chan error
	stop    context.CancelFunc
}

func (w *world) connect(cfg tunnel.DialConfig, handler http.Handler) *pair {
	w.t.Helper()
	conn, err := tunnel.Dial(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &pair{conn: conn, stop: cancel, served: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.served <- conn.Serve(ctx, handler)
	}()
	p.session = w.session()
	w.t.Cleanup(func() {
		_ = p.session.Close()
		_ = conn.Close()
		cancel()
		<-done
	})
	return p
}

func (w *world) session() *tunnel.Session {
	w.t.Helper()
	select {
	case session := <-w.sessions:
		return session
	case err := <-w.refused:
		w.t.Fatal(err)
	case <-time.After(20 * time.Second):
		w.t.Fatal("no session in 20 seconds")
	}
	return nil
}

// refusal waits for the error with which the hub refused a tunnel.
func (w *world) refusal() error {
	w.t.Helper()
	select {
	case session := <-w.sessions:
		_ = session.Close()
		w.t.Fatal("the hub took the tunnel")
	case err := <-w.refused:
		return err
	case <-time.After(20 * time.Second):
		w.t.Fatal("no refusal in 20 seconds")
	}
	return nil
}

// ask sends one request through the tunnel and reads the answer.
func ask(ctx context.Context, session http.RoundTripper, method, path, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := session.RoundTrip(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), errors.Join(err, response.Body.Close())
}

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(w, r.Body)
}
