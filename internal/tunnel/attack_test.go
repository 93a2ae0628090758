package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

// rawDial opens the WebSocket and nothing in it.
func (w *world) rawDial() *websocket.Conn {
	w.t.Helper()
	ws, _, err := websocket.Dial(w.t.Context(), w.server.URL+tunnel.Path+"?class=control", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.public.Pool()}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// TestDowngrade speaks what is not this tunnel's protocol in the inner TLS, from either end.
func TestDowngrade(t *testing.T) {
	changes := map[string]func(*tls.Config){
		"TLS12":      func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"OtherALPN":  func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"NoALPN":     func(c *tls.Config) { c.NextProtos = nil },
		"NextALPN":   func(c *tls.Config) { c.NextProtos = []string{"palette-gw/2"} },
		"SimilarOne": func(c *tls.Config) { c.NextProtos = []string{strings.ToUpper(tunnel.Protocol)} },
	}
	for name, change := range changes {
		t.Run(name+"/ByTheGateway", func(t *testing.T) {
			w := newWorld(t)
			config := w.dialConfig(tunnel.ClassControl).InnerTLS
			config.NextProtos = []string{tunnel.Protocol}
			change(config)
			conn := tls.Client(websocket.NetConn(t.Context(), w.rawDial(), websocket.MessageBinary), config)
			if err := conn.HandshakeContext(t.Context()); err == nil {
				_, _ = conn.Read(make([]byte, 1))
			}
			if err := w.refusal(); !errors.Is(err, tunnel.ErrProtocol) {
				t.Errorf("the hub got %v, want %v", err, tunnel.ErrProtocol)
			}
		})
		t.Run(name+"/ByTheHub", func(t *testing.T) {
			w := newWorld(t)
			w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				ws, err := websocket.Accept(rw, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer ws.CloseNow()
				config := w.accept.TLS.Clone()
				config.NextProtos = []string{tunnel.Protocol}
				change(config)
				conn := tls.Server(websocket.NetConn(context.Background(), ws, websocket.MessageBinary), config)
				_ = conn.HandshakeContext(context.Background())
			})
			if _, err := tunnel.Dial(t.Context(), w.dialConfig(tunnel.ClassControl)); !errors.Is(err, tunnel.ErrProtocol) {
				t.Errorf("the gateway got %v, want %v", err, tunnel.ErrProtocol)
			}
		})
	}
}

// TestBeforeLogin sends what an attacker without a certificate could send. Each is refused soon, and others are not disturbed.
func TestBeforeLogin(t *testing.T) {
	big := make([]byte, 1<<20)
	tests := map[string]func(context.Context, *websocket.Conn) error{
		"GiantFrame": func(ctx context.Context, ws *websocket.Conn) error {
			return ws.Write(ctx, websocket.MessageBinary, big)
		},
		"FragmentedForEver": func(ctx context.Context, ws *websocket.Conn) error {
			out, err := ws.Writer(ctx, websocket.MessageBinary)
			for err == nil {
				_, err = out.Write(big[:100])
			}
			return err
		},
		"EmptyFragmentsForEver": func(ctx context.Context, ws *websocket.Conn) error {
			out, err := ws.Writer(ctx, websocket.MessageBinary)
			for err == nil {
				_, err = out.Write(nil)
			}
			return err
		},
		"EmptyMessagesForEver": func(ctx context.Context, ws *websocket.Conn) error {
			var err error
			for err == nil {
				err = ws.Write(ctx, websocket.MessageBinary, nil)
			}
			return err
		},
		"Text": func(ctx context.Context, ws *websocket.Conn) error {
			return ws.Write(ctx, websocket.MessageText, []byte("hello"))
		},
		"Garbage": func(ctx context.Context, ws *websocket.Conn) error {
			return ws.Write(ctx, websocket.MessageBinary, []byte("GET / HTTP/1.1"))
		},
		"Silence": func(context.Context, *websocket.Conn) error { return nil },
		"OneByteOfTLS": func(ctx context.Context, ws *websocket.Conn) error {
			return ws.Write(ctx, websocket.MessageBinary, []byte{22})
		},
		"EndlessHello": func(ctx context.Context, ws *websocket.Conn) error {
			// A ClientHello that says it is 16 MiB long, in records of 16 KiB.
			record := append([]byte{22, 3, 1, 0x40, 0}, 1, 0xff, 0xff, 0xff)
			record = append(record, big[:16<<10-4]...)
			var err error
			for err == nil {
				err = ws.Write(ctx, websocket.MessageBinary, record)
			}
			return err
		},
	}
	for name, attack := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.accept.HandshakeTimeout = 200 * time.Millisecond })
			p := w.connect(w.dialConfig(tunnel.ClassControl), standard())
			ws := w.rawDial()
			start := time.Now()
			wait := inBackground(func() { _ = attack(t.Context(), ws) })
			if err := w.refusal(); err == nil {
				t.Error("no error")
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the hub took %s to refuse", took)
			}
			_ = ws.CloseNow()
			wait()
			if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
				t.Errorf("another tunnel is disturbed: %v", err)
			}
		})
	}
}

// TestRequestsThatNoGatewaySends are refused without a handshake.
func TestRequestsThatNoGatewaySends(t *testing.T) {
	w := newWorld(t)
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	tests := map[string]struct {
		request string
		want    string
	}{
		"NoClass":      {"GET /gw/v1/tunnel HTTP/1.1\r\nHost: h\r\n" + upgrade, "400"},
		"OtherClass":   {"GET /gw/v1/tunnel?class=root HTTP/1.1\r\nHost: h\r\n" + upgrade, "400"},
		"CrossOrigin":  {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.test\r\n" + upgrade, "403"},
		"SameOrigin":   {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\nOrigin: https://h\r\n" + upgrade, "403"},
		"LargeHeader":  {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\nX-Large: " + strings.Repeat("a", 9<<10) + "\r\n" + upgrade, "431"},
		"HTTP10":       {"GET /gw/v1/tunnel?class=enrol HTTP/1.0\r\nHost: h\r\n" + upgrade, "426"},
		"NoUpgrade":    {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\n", "426"},
		"Post":         {"POST /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\n" + upgrade, "405"},
		"OtherVersion": {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\n" + strings.Replace(upgrade, "13", "8", 1), "400"},
		"NoKey":        {"GET /gw/v1/tunnel?class=enrol HTTP/1.1\r\nHost: h\r\n" + strings.Replace(upgrade, "Sec-WebSocket-Key", "X", 1), "400"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", w.server.Listener.Addr().String(), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.public.Pool()})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tt.request+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 12)
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatal(err)
			}
			if got := string(answer[9:]); got != tt.want {
				t.Errorf("status is %s, want %s", got, tt.want)
			}
			w.t = t
			if err := w.refusal(); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestHalfOpenHandshakes has a client that says nothing in the only place. Others wait, and are told to come back when they
// have waited for long; once it has been thrown out there is room again.
func TestHalfOpenHandshakes(t *testing.T) {
	handshakes := tunnel.NewHandshakes(1)
	handshakes.SetPatience(50 * time.Millisecond)
	w := newWorld(t, func(w *world) { w.accept.HandshakeTimeout, w.accept.Handshakes = time.Second, handshakes })
	w.rawDial()
	var busy *tunnel.RefusedError
	if _, err := tunnel.Dial(t.Context(), w.dialConfig(tunnel.ClassControl)); !errors.As(err, &busy) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if busy.Status != http.StatusServiceUnavailable || busy.RetryAfter <= 0 {
		t.Errorf("got %v, want 503 with a time to wait", busy)
	}
	if err := w.refusal(); !errors.Is(err, tunnel.ErrBusy) {
		t.Errorf("the hub got %v, want %v", err, tunnel.ErrBusy)
	}
	if err := w.refusal(); err == nil {
		t.Error("the hub did not throw the silent client out")
	}
	w.passes(w.dialConfig(tunnel.ClassControl))
}

// TestAlteringProxy goes through a proxy that ends the outer TLS and changes a byte of what passes. Nothing of it is believed.
func TestAlteringProxy(t *testing.T) {
	w := newWorld(t)
	corporate := tunneltest.NewAuthority(t, "corporate authority")
	for _, after := range []int64{1 << 10, 64 << 10, 1 << 20} {
		t.Run(strconv.FormatInt(after, 10), func(t *testing.T) {
			w.t = t
			cfg := w.dialConfig(tunnel.ClassControl)
			cfg.Proxy = through(tunneltest.NewProxy(t, tunneltest.Inspecting(corporate, w.public), tunneltest.Altering(after)).URL(nil))
			cfg.OuterTLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: corporate.Pool()}
			conn, err := tunnel.Dial(t.Context(), cfg)
			if err != nil {
				_ = w.refusal()
				return
			}
			serving := inBackground(func() { _ = conn.Serve(context.Background(), standard()) })
			defer serving()
			session := w.session()
			defer session.Close()
			text := strings.Repeat("x", 100<<10)
			for range 100 {
				got, err := ask(t.Context(), session, http.MethodPost, "/echo", text)
				if err != nil {
					return
				}
				if got != text {
					t.Fatal("altered bytes were delivered")
				}
			}
			t.Error("the tunnel goes on")
		})
	}
}

// TestLimitsOfHeaders has either end send more than the other takes. A gateway that does so loses its tunnel, and nobody else's
// is disturbed; a hub that does so loses the request.
func TestLimitsOfHeaders(t *testing.T) {
	w := newWorld(t)
	mux := standard()
	mux.HandleFunc("/one/{size}", func(rw http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.PathValue("size"))
		rw.Header().Set("X-Large", strings.Repeat("x", size))
	})
	mux.HandleFunc("/many/{size}", func(rw http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.PathValue("size"))
		for i := range size / 40 {
			rw.Header().Set("X-"+strconv.Itoa(i), "x")
		}
	})
	mux.HandleFunc("/trailers/{size}", func(rw http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.PathValue("size"))
		_, _ = io.WriteString(rw, "body")
		rw.Header().Set(http.TrailerPrefix+"X-Large", strings.Repeat("x", size))
	})
	other := w.connect(w.dialConfig(tunnel.ClassControl), mux)
	for _, kind := range []string{"/one/", "/many/", "/trailers/"} {
		t.Run(kind[1:len(kind)-1], func(t *testing.T) {
			w.t = t
			p := w.connect(w.dialConfig(tunnel.ClassControl), mux)
			if _, err := ask(t.Context(), p.session, http.MethodGet, kind+"30000", ""); err != nil {
				t.Errorf("the hub did not take what is within its limit: %v", err)
			}
			if _, err := ask(t.Context(), p.session, http.MethodGet, kind+"1000000", ""); err == nil {
				t.Error("the hub took a flood")
			}
			if _, err := ask(t.Context(), other.session, http.MethodPost, "/echo", "hello"); err != nil {
				t.Errorf("another tunnel is disturbed: %v", err)
			}
		})
	}
	t.Run("ByTheHub", func(t *testing.T) {
		w.t = t
		p := w.connect(w.dialConfig(tunnel.ClassControl), mux)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://gateway/echo", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", 1<<20))
		if response, err := p.session.RoundTrip(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("the gateway took more than its limit and answered with %d", response.StatusCode)
			}
		}
		if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
			t.Errorf("the tunnel suffers: %v", err)
		}
	})
}

// TestAbandonedRequests begins many requests and abandons each at once, as a hub with impatient clients does.
func TestAbandonedRequests(t *testing.T) {
	w := newWorld(t)
	p := w.connect(w.dialConfig(tunnel.ClassControl), standard())
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() { _, _ = ask(ctx, p.session, http.MethodGet, "/wait", "") })
		if i%2 == 0 {
			for p.session.InFlight() == 0 {
				runtime.Gosched()
			}
		}
		cancel()
		wait()
	}
	if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
		t.Error(err)
	}
}
