// Package hubtest owns a whole hub for tests: the service that "hub run" runs, on a port of the own machine.
package hubtest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Hub is a hub that runs.
type Hub struct {
	// URL is https and by name, as the certificate has it.
	URL string
	// Addresses are where it listens.
	Addresses service.Addresses
	// CA is the certificate, PEM: what clients have to believe.
	CA string
	// Config is what it was started with; Start takes it again.
	Config service.Config

	tb   testing.TB
	stop context.CancelFunc
	done chan error
}

// stopLimit is how long a hub may take to stop.
const stopLimit = 30 * time.Second

// Start runs a hub until the test ends. The change may set what the test needs; without it the hub is on a free port, with
// a directory of its own and a certificate it makes itself.
func Start(tb testing.TB, change func(*service.Config)) *Hub {
	tb.Helper()
	cfg := service.Config{Listen: "127.0.0.1:0", Version: "test"}
	if change != nil {
		change(&cfg)
	}
	if cfg.DataDir == "" {
		cfg.DataDir = tb.TempDir()
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	h := &Hub{tb: tb, Config: cfg, stop: stop, done: make(chan error, 1)}
	ready := make(chan service.Addresses, 1)
	cfg.Ready = func(a service.Addresses) { ready <- a }
	go func() { h.done <- service.Run(ctx, cfg) }()
	select {
	case h.Addresses = <-ready:
	case err := <-h.done:
		tb.Fatalf("the hub did not start: %v", err)
	}
	h.URL = "https://" + h.Addresses.Hub
	if cfg.PlainHTTP {
		h.URL = "http://" + h.Addresses.Hub
	} else {
		certFile := cfg.TLSCert
		if certFile == "" {
			certFile = filepath.Join(cfg.DataDir, "tls.crt")
		}
		ca, err := os.ReadFile(certFile)
		if err != nil {
			tb.Fatal(err)
		}
		h.CA = string(ca)
	}
	tb.Cleanup(h.Stop)
	return h
}

// Stop ends the hub as SIGTERM does, and waits for that.
func (h *Hub) Stop() {
	h.tb.Helper()
	h.stop()
	if h.done == nil {
		return
	}
	select {
	case err := <-h.done:
		if err != nil {
			h.tb.Errorf("the hub ended with: %v", err)
		}
	case <-time.After(stopLimit):
		h.tb.Errorf("the hub did not stop in %s", stopLimit)
	}
	h.done = nil
}

// Token makes an API token, as "hub token create" does while a hub runs. An empty project is all.
func (h *Hub) Token(project string, role hubapi.Role) string {
	h.tb.Helper()
	var text string
	h.Records(func(db store.Database) error {
		var err error
		_, text, err = access.NewTokens(db, nil).Create(h.tb.Context(), access.Token{Name: "test", Project: project, Role: role}, 0)
		return err
	})
	return text
}

// Records opens the hub's records beside it.
func (h *Hub) Records(do func(store.Database) error) {
	h.tb.Helper()
	db, err := service.OpenRecords(h.tb.Context(), h.Config.Database, h.Config.DataDir)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			h.tb.Error(err)
		}
	}()
	if err := do(db); err != nil {
		h.tb.Fatal(err)
	}
}

// Client returns a client with a token of its own.
func (h *Hub) Client(project string, role hubapi.Role) *hubapi.Client {
	h.tb.Helper()
	c, err := hubapi.NewClient(hubapi.Config{
		Endpoint: h.URL, Token: h.Token(project, role), CACertificate: h.CA, Project: project,
	})
	if err != nil {
		h.tb.Fatal(err)
	}
	return c
}

// Get sends a request with the token, which may be "", and returns the answer. The caller closes its body.
func (h *Hub) Get(client *http.Client, path, token string) *http.Response {
	h.tb.Helper()
	r, err := http.NewRequestWithContext(h.tb.Context(), http.MethodGet, h.URL+path, nil)
	if err != nil {
		h.tb.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(r)
	if err != nil {
		h.tb.Fatal(err)
	}
	return resp
}
