package tunnel_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

func TestIdentities(t *testing.T) {
	errRevoked := errors.New("revoked")
	stranger := tunneltest.NewAuthority(t, "a stranger")
	tests := []struct {
		name   string
		reason string
		class  tunnel.Class
		hub    func(*world)
		dial   func(*world, *tunnel.DialConfig)
		want   error
		hubs   error
	}{
		{
			name: "OuterUntrusted", reason: "what answers first must be believed",
			dial: func(_ *world, cfg *tunnel.DialConfig) { cfg.OuterTLS.RootCAs = stranger.Pool() },
			want: tunnel.ErrOuterCertificate,
		},
		{
			name: "FalseHub", reason: "a believed outer certificate does not make a hub",
			hub:  func(w *world) { w.accept.TLS.Certificates = []tls.Certificate{stranger.Server(hubName)} },
			want: tunnel.ErrInnerCertificate, hubs: tunnel.ErrIdentityRefused,
		},
		{
			name: "FalseHubToEnrol", reason: "an enrolling gateway must not show its token to a false hub", class: tunnel.ClassEnrol,
			hub:  func(w *world) { w.accept.TLS.Certificates = []tls.Certificate{stranger.Server(hubName)} },
			want: tunnel.ErrInnerCertificate, hubs: tunnel.ErrIdentityRefused,
		},
		{
			name: "OtherName", reason: "another server of the same authority is not the hub",
			hub:  func(w *world) { w.accept.TLS.Certificates = []tls.Certificate{w.private.Server("other.test")} },
			want: tunnel.ErrInnerCertificate, hubs: tunnel.ErrIdentityRefused,
		},
		{
			name: "GatewayAsHub", reason: "a gateway's certificate is not good for a hub",
			hub:  func(w *world) { w.accept.TLS.Certificates = []tls.Certificate{w.private.Client(gatewayURI)} },
			want: tunnel.ErrInnerCertificate, hubs: tunnel.ErrIdentityRefused,
		},
		{
			name: "ForeignGateway", reason: "a gateway of another hub is none of this one",
			dial: func(_ *world, cfg *tunnel.DialConfig) {
				show(cfg, stranger.Client(gatewayURI))
			},
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "HubAsGateway", reason: "a server's certificate is not good for a gateway",
			dial: func(w *world, cfg *tunnel.DialConfig) {
				cfg.InnerTLS.Certificates = []tls.Certificate{w.private.Server(hubName)}
			},
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "Expired", reason: "a certificate ends",
			dial: func(w *world, cfg *tunnel.DialConfig) {
				cfg.InnerTLS.Certificates = []tls.Certificate{w.private.Client(gatewayURI, func(c *x509.Certificate) {
					c.NotAfter = time.Now().Add(-time.Minute)
				})}
			},
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "NotYet", reason: "a certificate begins",
			dial: func(w *world, cfg *tunnel.DialConfig) {
				cfg.InnerTLS.Certificates = []tls.Certificate{w.private.Client(gatewayURI, func(c *x509.Certificate) {
					c.NotBefore = time.Now().Add(time.Hour)
				})}
			},
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "NoCertificate", reason: "control is for gateways that have one",
			dial: func(_ *world, cfg *tunnel.DialConfig) { cfg.InnerTLS.Certificates = nil },
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "CallerForgotClientAuth", reason: "the hub asks for a certificate whatever its caller says",
			hub:  func(w *world) { w.accept.TLS.ClientAuth = tls.RequestClientCert },
			dial: func(_ *world, cfg *tunnel.DialConfig) { cfg.InnerTLS.Certificates = nil },
			want: tunnel.ErrIdentityRefused, hubs: tunnel.ErrInnerCertificate,
		},
		{
			name: "PinnedByTheGateway", reason: "the gateway's own check of the hub counts as not believing it",
			dial: func(_ *world, cfg *tunnel.DialConfig) {
				cfg.InnerTLS.VerifyConnection = func(tls.ConnectionState) error { return errors.New("another pin") }
			},
			want: tunnel.ErrInnerCertificate, hubs: tunnel.ErrIdentityRefused,
		},
		{
			name: "Revoked", reason: "the caller's word on a certificate is the last",
			hub: func(w *world) {
				w.accept.TLS.VerifyConnection = func(tls.ConnectionState) error { return errRevoked }
			},
			want: tunnel.ErrIdentityRefused, hubs: errRevoked,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(w *world) {
				if tt.hub != nil {
					tt.hub(w)
				}
			})
			cfg := w.dialConfig(or(tt.class, tunnel.ClassControl))
			if tt.dial != nil {
				tt.dial(w, &cfg)
			}
			conn, err := tunnel.Dial(t.Context(), cfg)
			if err == nil {
				_ = conn.Close()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: the gateway got %v, want %v", tt.reason, err, tt.want)
			}
			if errors.Is(err, tunnel.ErrOuterCertificate) {
				return
			}
			if err := w.refusal(); err == nil || tt.hubs != nil && !errors.Is(err, tt.hubs) {
				t.Errorf("%s: the hub got %v, want %v", tt.reason, err, tt.hubs)
			}
		})
	}
}

// show makes a gateway show a certificate even to a hub that did not ask for its authority.
func show(cfg *tunnel.DialConfig, cert tls.Certificate) {
	cfg.InnerTLS.Certificates = nil
	cfg.InnerTLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

func or[T comparable](a, b T) T {
	var zero T
	if a == zero {
		return b
	}
	return a
}

// TestRevocationHoldsForResumption dials twice with a cache of sessions. There are no tickets, so that nothing is resumed, and
// the caller is asked each time.
func TestRevocationHoldsForResumption(t *testing.T) {
	var revoked, resumed atomic.Bool
	w := newWorld(t, func(w *world) {
		w.accept.TLS.VerifyConnection = func(state tls.ConnectionState) error {
			if state.DidResume {
				resumed.Store(true)
			}
			if revoked.Load() {
				return errors.New("revoked")
			}
			return nil
		}
	})
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.InnerTLS.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	p := w.connect(cfg, http.HandlerFunc(echo))
	if _, err := ask(t.Context(), p.session, http.MethodPost, "/", ""); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	if _, err := tunnel.Dial(t.Context(), cfg); !errors.Is(err, tunnel.ErrIdentityRefused) {
		t.Errorf("got %v, want %v", err, tunnel.ErrIdentityRefused)
	}
	if resumed.Load() {
		t.Error("a session was resumed")
	}
}
