package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
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

// TestStreamsFlow has both bodies of a request open at once: what is written to one end arrives at the other before the next.
func TestStreamsFlow(t *testing.T) {
	w := newWorld(t)
	p := w.connect(w.dialConfig(tunnel.ClassStreams), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(rw)
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			_, _ = fmt.Fprintf(rw, "you said %s\n", lines.Text())
			_ = flush.Flush()
		}
		rw.Header().Set(http.TrailerPrefix+"Outcome", "done")
	}))
	in, out := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gateway/", in)
	if err != nil {
		t.Fatal(err)
	}
	var response *http.Response
	answered := inBackground(func() { response, err = p.session.RoundTrip(request) })
	if _, err := io.WriteString(out, "0\n"); err != nil {
		t.Fatal(err)
	}
	answered()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for i := range 100 {
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("you said %d\n", i); err != nil || line != want {
			t.Fatalf("got %q and %v, want %q", line, err, want)
		}
		_, _ = fmt.Fprintf(out, "%d\n", i+1)
	}
	_ = out.Close()
	if _, err := io.ReadAll(lines); err != nil || response.Trailer.Get("Outcome") != "done" {
		t.Errorf("the end came with %v and trailer %v", err, response.Trailer)
	}
}

// TestHubThatSpeaksHTTP2 has a hub whose port speaks HTTP/2 with its other clients.
func TestHubThatSpeaksHTTP2(t *testing.T) {
	w := newWorld(t)
	w.server.Close()
	w.server = httptest.NewUnstartedServer(w)
	w.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{w.public.Server("127.0.0.1")}}
	w.server.EnableHTTP2 = true
	w.server.StartTLS()
	defer w.server.Close()
	w.passes(w.dialConfig(tunnel.ClassControl))
}

// TestHubWithoutTLS has a hub in clear, as one behind a balancer on the same machine may be. The inner TLS is the same.
func TestHubWithoutTLS(t *testing.T) {
	w := newWorld(t)
	plain := httptest.NewServer(w)
	defer plain.Close()
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.URL = plain.URL + "/behind/a/path"
	w.passes(cfg)
}

func TestServeAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		conn, err := tunnel.Dial(t.Context(), w.dialConfig(tunnel.ClassControl))
		if err != nil {
			t.Fatal(err)
		}
		session := w.session()
		if err := conn.Serve(ended, standard()); err != nil {
			t.Errorf("serving with a context that has ended: %v", err)
		}
		<-session.Done()
	}
	conn, err := tunnel.Dial(t.Context(), w.dialConfig(tunnel.ClassControl))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := conn.Serve(t.Context(), standard()); !errors.Is(err, tunnel.ErrClosed) {
		t.Errorf("serving a closed connection: %v, want %v", err, tunnel.ErrClosed)
	}
	<-w.session().Done()
	if err := conn.Serve(ended, standard()); err != nil {
		t.Errorf("serving a closed connection with a context that has ended: %v", err)
	}
}

// TestClosedTransportsLeaveNothing opens and closes many tunnels; goleak looks for what is left.
func TestClosedTransportsLeaveNothing(t *testing.T) {
	w := newWorld(t)
	before := runtime.NumGoroutine()
	for i := range 100 {
		conn, err := tunnel.Dial(t.Context(), w.dialConfig(tunnel.ClassControl))
		if err != nil {
			t.Fatal(err)
		}
		session := w.session()
		ctx, cancel := context.WithCancel(t.Context())
		wait := inBackground(func() { _ = conn.Serve(ctx, standard()) })
		if _, err := ask(t.Context(), session, http.MethodPost, "/echo", "hello"); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%50 == 0:
			cancel() // takes a second, which HTTP/2 gives to an idle peer that is told to go away
		case i%2 == 0:
			_ = session.Close()
		default:
			_ = conn.Close()
		}
		wait()
		<-session.Done()
		cancel()
	}
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("there are %d goroutines after a hundred tunnels, and were %d", after, before)
	}
}
