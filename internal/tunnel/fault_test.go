package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

// impatient is a heartbeat for tests: noticed after 300 milliseconds.
var impatient = tunnel.Heartbeat{Idle: 200 * time.Millisecond, Answer: 100 * time.Millisecond}

func TestDefaultHeartbeat(t *testing.T) {
	if sum := tunnel.DefaultHeartbeat.Idle + tunnel.DefaultHeartbeat.Answer; sum >= 25*time.Second {
		t.Errorf("a frozen path is noticed after %s, want less than 25 s", sum)
	}
	if tunnel.DefaultHeartbeat.Idle >= 20*time.Second {
		t.Errorf("a ping every %s does not keep a proxy's timer of 20 s quiet", tunnel.DefaultHeartbeat.Idle)
	}
}

// TestFrozenPath stops a network from forwarding, without a reset, and waits for both ends to notice.
func TestFrozenPath(t *testing.T) {
	tests := map[string]func(*testing.T, *pair) func(){
		"Idle": func(*testing.T, *pair) func() { return func() {} },
		"RequestUnderWay": func(t *testing.T, p *pair) func() {
			return inBackground(func() {
				_, err := ask(context.Background(), p.session, http.MethodGet, "/wait", "")
				if !errors.Is(err, tunnel.ErrSilent) {
					t.Errorf("the request ended with %v, want %v", err, tunnel.ErrSilent)
				}
			})
		},
		// The buffers on the way are full, so that not even a ping can be written.
		"UploadUnderWay": func(t *testing.T, p *pair) func() {
			return inBackground(func() {
				if err := upload(context.Background(), p.session, "/sink", endless{}); err == nil {
					t.Error("an endless upload through a frozen path came to an end")
				}
			})
		},
		"DownloadUnderWay": func(t *testing.T, p *pair) func() {
			return inBackground(func() {
				if _, err := ask(context.Background(), p.session, http.MethodGet, "/endless", ""); err == nil {
					t.Error("an endless download through a frozen path came to an end")
				}
			})
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.accept.Heartbeat = impatient })
			relay := tunneltest.NewRelay(t, w.server.Listener.Addr().String(), 0)
			cfg := w.dialConfig(tunnel.ClassBulk)
			cfg.URL, cfg.Heartbeat = "https://"+relay.Addr(), impatient
			p := w.connect(cfg, standard())
			if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
				t.Fatal(err)
			}
			wait := begin(t, p)
			defer wait()
			relay.Freeze()
			start := time.Now()
			noticed(t, "hub", p.session.Done(), p.session.Err)
			select {
			case err := <-p.served:
				if !errors.Is(err, tunnel.ErrSilent) && !errors.Is(err, tunnel.ErrLost) {
					t.Errorf("the gateway got %v, want %v", err, tunnel.ErrSilent)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("the gateway has not noticed")
			}
			t.Logf("noticed by both after %s", time.Since(start).Round(time.Millisecond))
		})
	}
}

func noticed(t *testing.T, who string, done <-chan struct{}, cause func() error) {
	t.Helper()
	select {
	case <-done:
		if err := cause(); !errors.Is(err, tunnel.ErrSilent) {
			t.Errorf("the %s got %v, want %v", who, err, tunnel.ErrSilent)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("the %s has not noticed", who)
	}
}

func inBackground(work func()) (wait func()) {
	var group sync.WaitGroup
	group.Go(work)
	return group.Wait
}

// TestPingsKeepIdleTunnelsAlive lets many heartbeats pass.
func TestPingsKeepIdleTunnelsAlive(t *testing.T) {
	quick := tunnel.Heartbeat{Idle: 20 * time.Millisecond, Answer: time.Second}
	w := newWorld(t, func(w *world) { w.accept.Heartbeat = quick })
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.Heartbeat = quick
	p := w.connect(cfg, standard())
	select {
	case <-p.session.Done():
		t.Fatalf("an idle tunnel ended: %v", p.session.Err())
	case err := <-p.served:
		t.Fatalf("an idle tunnel ended: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
}

func TestCutPath(t *testing.T) {
	w := newWorld(t)
	relay := tunneltest.NewRelay(t, w.server.Listener.Addr().String(), 0)
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.URL = "https://" + relay.Addr()
	p := w.connect(cfg, standard())
	wait := inBackground(func() {
		if _, err := ask(context.Background(), p.session, http.MethodGet, "/wait", ""); !errors.Is(err, tunnel.ErrLost) {
			t.Errorf("the request ended with %v, want %v", err, tunnel.ErrLost)
		}
	})
	defer wait()
	for p.session.InFlight() == 0 {
		<-time.After(time.Millisecond)
	}
	relay.Cut()
	<-p.session.Done()
	if err := p.session.Err(); !errors.Is(err, tunnel.ErrLost) {
		t.Errorf("the hub got %v, want %v", err, tunnel.ErrLost)
	}
	if err := <-p.served; !errors.Is(err, tunnel.ErrLost) {
		t.Errorf("the gateway got %v, want %v", err, tunnel.ErrLost)
	}
}

// TestStalledConsumers has requests whose bodies nobody reads, at either end, and asks for something small beside them. What is
// uploaded in the end is more than one stream's window, and so needs what all others have left of the connection's.
func TestStalledConsumers(t *testing.T) {
	tests := []struct {
		class     tunnel.Class
		consumers int
		upload    int64
	}{
		{class: tunnel.ClassControl, consumers: 4, upload: 2 << 20},
		{class: tunnel.ClassControl, consumers: 40, upload: 2 << 20},
		{class: tunnel.ClassStreams, consumers: 40, upload: 2 << 20},
		// The eighth stream of the class is the one that goes on.
		{class: tunnel.ClassBulk, consumers: 7, upload: 20 << 20},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/%d", tt.class, tt.consumers), func(t *testing.T) {
			w := newWorld(t)
			p := w.connect(w.dialConfig(tt.class), standard())
			stall(t, p.session, tt.consumers)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			start := time.Now()
			for range 10 {
				if text, err := ask(ctx, p.session, http.MethodPost, "/echo", "hello"); err != nil || text != "hello" {
					t.Fatalf("got %q and %v beside %d stalled consumers", text, err, tt.consumers)
				}
			}
			t.Logf("a request took %s", (time.Since(start) / 10).Round(time.Microsecond))
			if err := upload(ctx, p.session, "/sink", io.LimitReader(endless{}, tt.upload)); err != nil {
				t.Errorf("an upload beside %d stalled consumers: %v", tt.consumers, err)
			}
		})
	}
}

// stall starts uploads that the gateway does not read and downloads that the hub does not read, in turn, until the test ends.
func stall(t testing.TB, session *tunnel.Session, consumers int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for i := range consumers {
		if i%2 == 0 {
			group.Go(func() { _ = upload(ctx, session, "/wait", endless{}) })
			continue
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/endless", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := session.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			<-ctx.Done()
			_ = response.Body.Close()
		})
	}
}

func TestShutdownIsGraceful(t *testing.T) {
	w := newWorld(t)
	release, entered := make(chan struct{}), make(chan struct{})
	p := w.connect(w.dialConfig(tunnel.ClassControl), http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(rw, "done")
	}))
	wait := inBackground(func() {
		if text, err := ask(context.Background(), p.session, http.MethodGet, "/", ""); err != nil || text != "done" {
			t.Errorf("the request under way got %q and %v, want its answer", text, err)
		}
	})
	<-entered
	if p.session.Draining() {
		t.Error("the gateway is going away before it is told to")
	}
	p.stop()
	select {
	case err := <-p.served:
		t.Fatalf("the gateway did not wait for the request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := ask(t.Context(), p.session, http.MethodGet, "/", ""); !errors.Is(err, tunnel.ErrDraining) || !p.session.Draining() {
		t.Errorf("a new request got %v, want %v", err, tunnel.ErrDraining)
	}
	close(release)
	wait()
	if err := <-p.served; err != nil {
		t.Errorf("serving ended with %v, want nothing", err)
	}
	<-p.session.Done()
	if _, err := ask(t.Context(), p.session, http.MethodGet, "/", ""); !errors.Is(err, tunnel.ErrLost) {
		t.Errorf("a request after the end got %v, want %v", err, tunnel.ErrLost)
	}
}

func TestShutdownEndsWithItsGrace(t *testing.T) {
	w := newWorld(t)
	cfg := w.dialConfig(tunnel.ClassControl)
	cfg.Grace = 50 * time.Millisecond
	p := w.connect(cfg, standard())
	wait := inBackground(func() {
		if _, err := ask(context.Background(), p.session, http.MethodGet, "/wait", ""); err == nil {
			t.Error("a request that never ends got an answer")
		}
	})
	for p.session.InFlight() == 0 {
		<-time.After(time.Millisecond)
	}
	p.stop()
	if err := <-p.served; err != nil {
		t.Errorf("serving ended with %v, want nothing", err)
	}
	wait()
}

func TestCloseTellsBothEnds(t *testing.T) {
	w := newWorld(t)
	t.Run("ByTheHub", func(t *testing.T) {
		p := w.connect(w.dialConfig(tunnel.ClassControl), standard())
		if err := errors.Join(p.session.Close(), p.session.Close()); err != nil {
			t.Error(err)
		}
		if err := p.session.Err(); !errors.Is(err, tunnel.ErrClosed) {
			t.Errorf("the hub got %v, want %v", err, tunnel.ErrClosed)
		}
		if err := <-p.served; !errors.Is(err, tunnel.ErrLost) {
			t.Errorf("the gateway got %v, want %v", err, tunnel.ErrLost)
		}
	})
	t.Run("ByTheGateway", func(t *testing.T) {
		p := w.connect(w.dialConfig(tunnel.ClassControl), standard())
		if err := p.conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-p.served; !errors.Is(err, tunnel.ErrClosed) {
			t.Errorf("the gateway got %v, want %v", err, tunnel.ErrClosed)
		}
		<-p.session.Done()
		if err := p.session.Err(); !errors.Is(err, tunnel.ErrLost) {
			t.Errorf("the hub got %v, want %v", err, tunnel.ErrLost)
		}
	})
}

func TestCancelledRequestLeavesTheTunnelAlone(t *testing.T) {
	w := newWorld(t)
	cancelled := make(chan struct{})
	mux := standard()
	mux.HandleFunc("/cancelled", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(cancelled)
	})
	p := w.connect(w.dialConfig(tunnel.ClassControl), mux)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, p.session, http.MethodGet, "/cancelled", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	<-cancelled
	if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
		t.Error(err)
	}
}

func TestPanicOfAHandlerLeavesTheTunnelAlone(t *testing.T) {
	w := newWorld(t)
	mux := standard()
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("a fault in a handler") })
	p := w.connect(w.dialConfig(tunnel.ClassControl), mux)
	if _, err := ask(t.Context(), p.session, http.MethodGet, "/panic", ""); err == nil {
		t.Error("a request whose handler panicked got an answer")
	}
	if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
		t.Error(err)
	}
}

// standard is what the gateways of these tests answer with.
func standard() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/sink", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) })
	return mux
}

// endless never ends.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) { return len(p), nil }

func upload(ctx context.Context, session http.RoundTripper, path string, body io.Reader) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://gateway"+path, io.MultiReader(body, strings.NewReader("")))
	if err != nil {
		return err
	}
	response, err := session.RoundTrip(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}
