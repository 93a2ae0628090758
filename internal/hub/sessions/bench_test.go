package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/sessions"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// clock is a clock that tests move.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// bench is what instances of a hub share: records, an authority and a clock.
type bench struct {
	t         *testing.T
	records   *store.SQLite
	authority *authority.Authority
	clock     *clock
	log       *logBuffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	records, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	b := &bench{t: t, records: records, clock: &clock{}, log: &logBuffer{}}
	if b.authority, err = authority.Open(t.Context(), records, [32]byte{7}, b.clock.now); err != nil {
		t.Fatal(err)
	}
	return b
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(text))
}

// instance is one instance of the hub.
type instance struct {
	bench    *bench
	name     string
	sessions *sessions.Sessions
	server   *httptest.Server
	client   *hubapi.Client
	stop     func()
}

func (b *bench) instance(name string) *instance {
	b.t.Helper()
	log := slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("hub", name)
	s, err := sessions.New(sessions.Config{
		Store: b.records, Authority: b.authority, Instance: name, URL: "https://" + name + ".example.com", Version: "1.0",
		Log: log, Clock: b.clock.now,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Store: b.records, Gateways: s, Version: "1.0", Log: log, Clock: b.clock.now, Pin: b.authority.Pin(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(tunnel.Path, s.Handler())
	mux.Handle("/", h.Handler())
	i := &instance{bench: b, name: name, sessions: s, server: httptest.NewTLSServer(mux)}
	transport, _ := i.server.Client().Transport.(*http.Transport)
	i.client, err = hubapi.NewClient(hubapi.Config{Endpoint: i.server.URL, Transport: transport})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, run := range []func(context.Context) error{s.Run, h.Run} {
		group.Go(func() {
			if err := run(ctx); !errors.Is(err, context.Canceled) {
				b.t.Errorf("ended with %v", err)
			}
		})
	}
	var once sync.Once
	i.stop = func() {
		once.Do(func() {
			cancel()
			group.Wait()
			i.server.CloseClientConnections()
			i.server.Close()
			transport.CloseIdleConnections()
		})
	}
	b.t.Cleanup(i.stop)
	return i
}

func (i *instance) gateway(name string) *hubapi.Gateway {
	i.bench.t.Helper()
	g, err := i.client.PutGateway(i.bench.t.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: name}, hubapi.WriteOptions{Create: true})
	if err != nil {
		i.bench.t.Fatal(err)
	}
	return g
}

func (i *instance) token(gatewayID string) hubapi.PairingToken {
	i.bench.t.Helper()
	token, _, err := i.client.Pair(i.bench.t.Context(), gatewayID, hubapi.PairOptions{})
	if err != nil {
		i.bench.t.Fatal(err)
	}
	return token
}

// await asks for the gateway until it is as wanted.
func (i *instance) await(id, what string, fits func(*hubapi.Gateway) bool) *hubapi.Gateway {
	i.bench.t.Helper()
	return awaitGateway(i.bench.t, i.client, id, what, 15*time.Second, fits)
}
