package tunnel_test

import (
	"net/http"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

func TestRequestsOfEveryClass(t *testing.T) {
	for _, class := range []tunnel.Class{tunnel.ClassControl, tunnel.ClassEnrol, tunnel.ClassBulk, tunnel.ClassStreams} {
		t.Run(string(class), func(t *testing.T) {
			w := newWorld(t)
			p := w.connect(w.dialConfig(class), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].DNSNames[0] != hubName {
					t.Error("the request does not tell that it is the hub's")
				}
				echo(rw, r)
			}))
			if got := p.session.Class(); got != class {
				t.Errorf("class is %q, want %q", got, class)
			}
			text, err := ask(t.Context(), p.session, http.MethodPost, "/v1/echo", "hello")
			if err != nil || text != "hello" {
				t.Errorf("got %q and %v, want hello", text, err)
			}
			peers := p.session.ConnectionState().PeerCertificates
			if class == tunnel.ClassEnrol {
				if len(peers) != 0 {
					t.Error("an enrolling gateway has no certificate to show")
				}
				return
			}
			if len(peers) == 0 || peers[0].URIs[0].String() != gatewayURI {
				t.Errorf("the peer is %v, want %s", peers, gatewayURI)
			}
		})
	}
}

func TestExporterIsTheSameAtBothEnds(t *testing.T) {
	w := newWorld(t)
	p := w.connect(w.dialConfig(tunnel.ClassEnrol), http.HandlerFunc(echo))
	hub, gateway := p.session.ConnectionState(), p.conn.ConnectionState()
	ours, err := hub.ExportKeyingMaterial("EXPERIMENTAL-test", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := gateway.ExportKeyingMaterial("EXPERIMENTAL-test", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Error("the exporters differ")
	}
}
