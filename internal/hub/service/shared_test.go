package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// TestHubsOnOneDatabase: what is written at one hub is true at the other, and one audit log holds what both did.
func TestHubsOnOneDatabase(t *testing.T) {
	server := postgres.Start(t)
	dsn, secret := server.DSN(t), filepath.Join(t.TempDir(), "secret")
	var logs lockedBuffer
	shared := func(c *service.Config) {
		generous(c)
		c.Database, c.SecretFile, c.Log = dsn, secret, debugLog(&logs)
	}
	a, b := hubtest.Start(t, shared), hubtest.Start(t, shared)
	token := a.Token("prod", hubapi.RoleAdmin)
	clients := map[*hubtest.Hub]*hubapi.Client{}
	for _, h := range []*hubtest.Hub{a, b} {
		c, err := hubapi.NewClient(hubapi.Config{Endpoint: h.URL, Token: token, CACertificate: h.CA, Project: "prod"})
		if err != nil {
			t.Fatal(err)
		}
		clients[h] = c
	}
	id := uuid.NewString()
	if _, err := clients[a].PutGateway(t.Context(), id, hubapi.GatewayWrite{Name: "north"}, hubapi.WriteOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	if g, err := clients[b].Gateway(t.Context(), id); err != nil || g.Name != "north" {
		t.Errorf("the other hub has %+v, %v", g, err)
	}
	if err := clients[b].DeleteGateway(t.Context(), id); err != nil {
		t.Error(err)
	}
	entries, err := clients[a].Audit(t.Context(), 0, 0)
	if err != nil || len(entries) != 2 || entries[0].Method != http.MethodPut || entries[1].Method != http.MethodDelete {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
	a.Records(func(db store.Database) error { return store.VerifyAudit(t.Context(), db) })
	a.Records(func(db store.Database) error {
		_, err := access.NewTokens(db, nil).Revoke(t.Context(), strings.Split(token, "_")[1])
		return err
	})
	for _, h := range []*hubtest.Hub{a, b} {
		if _, err := clients[h].Gateway(t.Context(), id); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeUnauthorized}) {
			t.Errorf("a revoked token: %v", err)
		}
	}
	cfg := a.Config
	cfg.DataDir, cfg.SecretFile = t.TempDir(), filepath.Join(t.TempDir(), "another")
	cfg.Ready = func(service.Addresses) { t.Error("a hub with another secret runs") }
	if err := service.Run(t.Context(), cfg); err == nil {
		t.Error("a hub with another secret ran to its end")
	}
}

// TestDatabaseGoesAway: while the database is down the hub says so and asks clients to come back; then it goes on.
func TestDatabaseGoesAway(t *testing.T) {
	server := postgres.Start(t)
	h := hubtest.Start(t, func(c *service.Config) {
		generous(c)
		c.Database, c.SecretFile, c.MetricsListen = server.DSN(t), filepath.Join(t.TempDir(), "secret"), "127.0.0.1:0"
	})
	client, token := browser(t, h), h.Token("prod", hubapi.RoleAdmin)
	const path = "/v1/projects/prod/clusters"
	server.Kill(t)
	for _, tc := range []struct{ path, token string }{{"/readyz", ""}, {path, token}} {
		resp := h.Get(client, tc.path, tc.token)
		text := read(t, resp)
		var p hubapi.Problem
		if resp.StatusCode != http.StatusServiceUnavailable || json.Unmarshal([]byte(text), &p) != nil || p.Code != hubapi.CodeUnreachable {
			t.Errorf("%s without a database: %d %s", tc.path, resp.StatusCode, text)
		}
		if tc.path == path && resp.Header.Get("Retry-After") == "" {
			t.Error("nobody says when to come back")
		}
	}
	if resp := h.Get(client, "/healthz", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("the hub's own health depends on the database: %s", read(t, resp))
	} else {
		read(t, resp)
	}
	server.Resume(t)
	began := time.Now()
	for {
		resp := h.Get(client, path, token)
		text := read(t, resp)
		if resp.StatusCode == http.StatusOK {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the database has been back for a while: %d %s", resp.StatusCode, text)
		}
	}
	t.Logf("answered %s after the database was back", time.Since(began))
	resp, err := client.Get("http://" + h.Addresses.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if text := read(t, resp); !strings.Contains(text, "palette_hub_store_errors_total{") {
		t.Error("the database's failures are not counted")
	}
}

// TestDatabasePasswordIsToldToNobody: not when it cannot be reached, either.
func TestDatabasePasswordIsToldToNobody(t *testing.T) {
	const password = "correct-horse"
	var log lockedBuffer
	var out bytes.Buffer
	for _, database := range []string{
		"postgres://palette:" + password + "@127.0.0.1:1/palette?connect_timeout=1",
		"postgres://palette:" + password + "@127.0.0.1:port/palette", "mysql://palette:" + password + "@127.0.0.1/palette",
	} {
		err := service.Run(t.Context(), service.Config{
			Database: database, DataDir: t.TempDir(), SecretFile: filepath.Join(t.TempDir(), "secret"), Log: debugLog(&log), Out: &out,
		})
		if err == nil || strings.Contains(err.Error()+log.String()+out.String(), password) {
			t.Errorf("%v\n%s%s", err, log.String(), &out)
		}
	}
}
