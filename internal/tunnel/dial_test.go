package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

func through(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return proxy, nil }
}

func TestDialThroughProxy(t *testing.T) {
	w := newWorld(t)
	right, wrong := url.UserPassword("gw", "pa:ss w/ord"), url.UserPassword("gw", "other")
	tests := []struct {
		name    string
		options []tunneltest.ProxyOption
		user    *url.Userinfo
		want    error
	}{
		{name: "Open"},
		{name: "WithCredentials", options: []tunneltest.ProxyOption{tunneltest.Asking("gw", "pa:ss w/ord")}, user: right},
		{name: "WrongCredentials", options: []tunneltest.ProxyOption{tunneltest.Asking("gw", "pa:ss w/ord")}, user: wrong, want: tunnel.ErrProxyAuth},
		{name: "NoCredentials", options: []tunneltest.ProxyOption{tunneltest.Asking("gw", "x")}, want: tunnel.ErrProxyAuth},
		{name: "Refuses", options: []tunneltest.ProxyOption{tunneltest.Refusing(http.StatusBadGateway)}, want: tunnel.ErrProxy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proxy := tunneltest.NewProxy(t, tt.options...)
			w.t = t
			cfg := w.dialConfig(tunnel.ClassControl)
			cfg.Proxy = through(proxy.URL(tt.user))
			if tt.want != nil {
				if _, err := tunnel.Dial(t.Context(), cfg); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				return
			}
			p := w.connect(cfg, http.HandlerFunc(echo))
			if text, err := ask(t.Context(), p.session, http.MethodPost, "/", "hello"); err != nil || text != "hello" {
				t.Errorf("got %q and %v, want hello", text, err)
			}
			if proxy.Connected() != 1 {
				t.Errorf("%d connections went through the proxy, want 1", proxy.Connected())
			}
		})
	}
}

// TestDialThroughProxyOfTheEnvironment says nothing about a proxy, as a gateway without a configuration does.
func TestDialThroughProxyOfTheEnvironment(t *testing.T) {
	w := newWorld(t)
	proxy := tunneltest.NewProxy(t, tunneltest.Listening(environment), tunneltest.Asking("gw", "secret"),
		tunneltest.Leading(w.server.Listener.Addr().String()))
	w.server.TLS.Certificates = []tls.Certificate{w.public.Server("hub.example.com")}
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.URL, cfg.Proxy = "https://hub.example.com", nil
	w.passes(cfg)
	if proxy.Connected() != 1 {
		t.Errorf("%d connections went through the proxy, want 1", proxy.Connected())
	}
}

// TestDialToOddities dials what answers with anything but HTTP, directly and as a proxy.
func TestDialToOddities(t *testing.T) {
	w := newWorld(t)
	tests := map[string]func(net.Conn){
		"ClosesAtOnce":       func(net.Conn) {},
		"ClosesAfterRequest": func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) },
		"ClosesAfterConnecting": func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		},
		"Garbage":  func(conn net.Conn) { _, _ = io.WriteString(conn, "\x00\x01\x02garbage\r\n\r\n") },
		"MailHost": func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n") },
		"EndlessHeader": func(conn net.Conn) {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "X: "+strings.Repeat("x", 4000)+"\r\n")
			}
		},
	}
	for name, behave := range tests {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				behave(conn)
				_ = conn.Close()
			}
		})
		direct, proxied := w.dialConfig(tunnel.ClassControl), w.dialConfig(tunnel.ClassControl)
		direct.URL = "https://" + listener.Addr().String()
		proxied.Proxy = through(&url.URL{Scheme: "http", Host: listener.Addr().String()})
		for way, cfg := range map[string]tunnel.DialConfig{"Directly": direct, "AsProxy": proxied} {
			t.Run(name+"/"+way, func(t *testing.T) {
				cfg.HandshakeTimeout = 2 * time.Second
				if _, err := tunnel.Dial(t.Context(), cfg); err == nil {
					t.Error("connected to no hub")
				}
			})
		}
		_ = listener.Close()
		serving.Wait()
	}
}

func TestDialRefusedByProxyTellsWhy(t *testing.T) {
	w := newWorld(t)
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.Proxy = through(tunneltest.NewProxy(t, tunneltest.Refusing(http.StatusServiceUnavailable)).URL(nil))
	_, err := tunnel.Dial(t.Context(), cfg)
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter != 7*time.Second {
		t.Errorf("got %v, want status 503 and 7 seconds to wait", err)
	}
}

// TestInspectingProxy goes through a proxy that ends the outer TLS. It reads what passes, which is only the inner TLS.
func TestInspectingProxy(t *testing.T) {
	w := newWorld(t)
	corporate := tunneltest.NewAuthority(t, "corporate authority")
	proxy := tunneltest.NewProxy(t, tunneltest.Inspecting(corporate, w.public))
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.Proxy = through(proxy.URL(nil))
	if _, err := tunnel.Dial(t.Context(), cfg); !errors.Is(err, tunnel.ErrOuterCertificate) {
		t.Errorf("an inspecting proxy that is not believed: got %v, want %v", err, tunnel.ErrOuterCertificate)
	}
	cfg.OuterTLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: corporate.Pool()}
	p := w.connect(cfg, http.HandlerFunc(echo))
	if text, err := ask(t.Context(), p.session, http.MethodPost, "/", "hello"); err != nil || text != "hello" {
		t.Errorf("got %q and %v, want hello", text, err)
	}
	if uri := p.session.ConnectionState().PeerCertificates[0].URIs[0].String(); uri != gatewayURI {
		t.Errorf("the hub sees %s, want %s", uri, gatewayURI)
	}
	if name := p.conn.ConnectionState().PeerCertificates[0].DNSNames[0]; name != hubName {
		t.Errorf("the gateway sees %s, want %s", name, hubName)
	}
}

func TestDialRefused(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   *tunnel.RefusedError
	}{
		{name: "NotFound", answer: http.NotFound, want: &tunnel.RefusedError{Status: 404, Reason: "404 page not found"}},
		{
			name: "Busy",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(http.StatusServiceUnavailable)
			},
			want: &tunnel.RefusedError{Status: 503, RetryAfter: 3 * time.Second},
		},
		{
			name: "WaitsForAYear",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "31536000")
				w.WriteHeader(http.StatusTooManyRequests)
			},
			want: &tunnel.RefusedError{Status: 429, RetryAfter: time.Hour},
		},
		{
			name: "Redirects",
			answer: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.test/", http.StatusFound)
			},
			want: &tunnel.RefusedError{Status: 302, Reason: `<a href="https://evil.test/">Found</a>.`},
		},
		{
			name: "InColours",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte("\x1b[31mno\x00\nway\xff"))
			},
			want: &tunnel.RefusedError{Status: 403, Reason: "[31mno way"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			server := httptest.NewTLSServer(tt.answer)
			defer server.Close()
			cfg := w.dialConfig(tunnel.ClassControl)
			cfg.URL = server.URL
			cfg.OuterTLS = server.Client().Transport.(*http.Transport).TLSClientConfig
			_, err := tunnel.Dial(t.Context(), cfg)
			var got *tunnel.RefusedError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("refusal differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDialGivesUp(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	w := newWorld(t)
	t.Run("SilentAddress", func(t *testing.T) {
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL, cfg.HandshakeTimeout = "https://"+listener.Addr().String(), 50*time.Millisecond
		if _, err := tunnel.Dial(t.Context(), cfg); err == nil {
			t.Error("connected to nobody")
		}
	})
	t.Run("CancelledContext", func(t *testing.T) {
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL = "https://" + listener.Addr().String()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := tunnel.Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
	for _, address := range []string{"", "hub.test", "ftp://hub.test", "https://", "https://%zz"} {
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL = address
		if _, err := tunnel.Dial(t.Context(), cfg); err == nil {
			t.Errorf("dialled %q", address)
		}
	}
}
