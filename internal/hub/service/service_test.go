package service_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// browser is an HTTP client that believes the hub's certificate.
func browser(t *testing.T, h *hubtest.Hub) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(h.CA))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOnePort(t *testing.T) {
	var out bytes.Buffer
	h := hubtest.Start(t, func(c *service.Config) { c.Out = &out })
	client := browser(t, h)
	all, one := h.Token("", hubapi.RoleViewer), h.Token("prod", hubapi.RoleAdmin)
	for reason, tc := range map[string]struct {
		path, token string
		status      int
		holds       string
	}{
		"alive":                      {"/healthz", "", 200, `"ok"`},
		"ready":                      {"/readyz", "", 200, `"ready"`},
		"the document":               {"/v1/openapi.json", "", 200, `"openapi": "3.1.0"`},
		"metrics":                    {"/metrics", all, 200, "palette_hub_build_info"},
		"metrics for one project":    {"/metrics", one, 403, "--all-projects"},
		"metrics for nobody":         {"/metrics", "", 401, "unauthorized"},
		"the API":                    {"/v1/projects/prod/clusters", one, 200, `"items":[]`},
		"the API for nobody":         {"/v1/projects/prod/clusters", "", 401, "unauthorized"},
		"the API of another project": {"/v1/projects/other/clusters", one, 403, "forbidden"},
		"nothing":                    {"/", "", 404, "not_found"},
		"odd path":                   {"/healthz/../metrics", "", 404, "not_found"},
	} {
		resp := h.Get(client, tc.path, tc.token)
		if text := read(t, resp); resp.StatusCode != tc.status || !strings.Contains(text, tc.holds) {
			t.Errorf("%s: answered %d %.200s", reason, resp.StatusCode, text)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s: spoken was %s", reason, resp.Proto)
		}
		if resp.StatusCode >= 400 && resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", reason)
		}
	}
	h.Stop()
	for _, want := range []string{"SHA-256 fingerprint", "hub token create --data-dir " + h.Config.DataDir} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("a person is not told %q but: %s", want, &out)
		}
	}
	if strings.Contains(out.String(), "PRIVATE") {
		t.Error("a key was printed")
	}
}

func TestRolesAndAuditOverTheWire(t *testing.T) {
	h := hubtest.Start(t, nil)
	viewer, admin := h.Client("prod", hubapi.RoleViewer), h.Client("prod", hubapi.RoleAdmin)
	id := uuid.NewString()
	if err := viewer.DeleteCluster(t.Context(), id); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
		t.Fatalf("a viewer deletes: %v", err)
	}
	if err := admin.DeleteCluster(t.Context(), id); !errors.Is(err, hubapi.ErrNotFound) {
		t.Fatalf("an admin deletes: %v", err)
	}
	entries, err := admin.Audit(t.Context(), 0, 0)
	if err != nil || len(entries) != 2 || entries[0].Status != 403 || entries[1].Status != 404 || entries[0].Object != id {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
	h.Records(func(db store.Database) error { return store.VerifyAudit(t.Context(), db) })
}

// TestMetricsHoldNoIDs: what a client may choose is not in a label, and secrets are nowhere.
func TestMetricsHoldNoIDs(t *testing.T) {
	h := hubtest.Start(t, func(c *service.Config) { c.MetricsListen = "127.0.0.1:0" })
	client := browser(t, h)
	token := h.Token("prod", hubapi.RoleEditor)
	id := uuid.NewString()
	for _, path := range []string{"/v1/projects/prod/clusters/" + id, "/v1/projects/prod/clusters/" + token, "/v1/" + id, "/%00"} {
		read(t, h.Get(client, path, token))
	}
	resp, err := client.Get("http://" + h.Addresses.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, resp)
	for _, want := range []string{
		`palette_hub_requests_total{method="GET",route="/v1/projects/{project}/clusters/{id}",status="404"} 1`,
		`palette_hub_requests_total{method="GET",route="/v1/projects/{project}/clusters/{id}",status="422"} 1`,
		`palette_hub_requests_total{method="GET",route="none",status="404"} 2`,
		"palette_hub_request_duration_seconds_bucket", "palette_hub_requests_in_flight", "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, no := range []string{id, token, token[len(token)-20:]} {
		if strings.Contains(text, no) {
			t.Errorf("the metrics hold %s", no)
		}
	}
}

func TestStreamsEndAtShutdown(t *testing.T) {
	h := hubtest.Start(t, nil)
	id := uuid.NewString()
	h.Records(func(db store.Database) error {
		spec, _ := json.Marshal(map[string]any{"name": "prod"})
		return db.Commit(t.Context(), store.Batch{Put: []*store.Record{{
			Kind: store.KindCluster, ID: id, Project: "prod", Name: "prod", SpecJSON: spec, StatusJSON: []byte("{}"),
		}}})
	})
	client := browser(t, h)
	resp := h.Get(client, "/v1/projects/prod/clusters/"+id+"/events", h.Token("prod", hubapi.RoleViewer))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d %s", resp.StatusCode, read(t, resp))
	}
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, resp.Body); ended <- err }()
	h.Stop()
	if err := <-ended; err != nil {
		t.Errorf("the stream did not end but break: %v", err)
	}
	_ = resp.Body.Close()
}

func TestOneHubInADirectory(t *testing.T) {
	h := hubtest.Start(t, nil)
	cfg := h.Config
	cfg.Ready = func(service.Addresses) { t.Error("a second hub serves the directory") }
	if err := service.Run(t.Context(), cfg); err == nil {
		t.Error("a second hub ran to its end")
	}
	h.Stop()
	hubtest.Start(t, func(c *service.Config) { c.DataDir = h.Config.DataDir }).Stop()
}

func TestFilesAreTheOwners(t *testing.T) {
	h := hubtest.Start(t, nil)
	files, err := os.ReadDir(h.Config.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		if file.Name() != "tls.crt" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", file.Name(), info.Mode())
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	h := hubtest.Start(t, func(c *service.Config) { c.PlainHTTP = true })
	if _, err := h.Client("prod", hubapi.RoleViewer).ClusterByName(t.Context(), "x"); !errors.Is(err, hubapi.ErrNotFound) {
		t.Error(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestConfigs(t *testing.T) {
	dir := t.TempDir()
	for reason, cfg := range map[string]service.Config{
		"no directory":             {},
		"half a certificate":       {DataDir: dir, TLSCert: "x"},
		"plain with a certificate": {DataDir: dir, PlainHTTP: true, TLSCert: "x", TLSKey: "y"},
		"no such certificate":      {DataDir: dir, TLSCert: filepath.Join(dir, "x"), TLSKey: filepath.Join(dir, "y")},
		"PostgreSQL, no secret":    {DataDir: dir, Database: "postgres://127.0.0.1:1/x"},
		"PostgreSQL, a gateway inside": {
			DataDir: dir, Database: "postgres://127.0.0.1:1/x", SecretFile: filepath.Join(dir, "s"), System: &service.System{ID: "x"},
		},
		"a file for a database": {DataDir: dir, Database: "hub.db"},
		"odd URL":               {DataDir: dir, AdvertiseURL: "hub.example.com"},
		"no such OIDC file":     {DataDir: dir, OIDCConfig: filepath.Join(dir, "x")},
		"odd address":           {DataDir: dir, Listen: "nowhere:x"},
		"odd metrics address":   {DataDir: dir, Listen: "127.0.0.1:0", MetricsListen: "nowhere:x"},
	} {
		cfg.Ready = func(service.Addresses) { t.Errorf("%s: it runs", reason) }
		ctx, stop := context.WithCancel(t.Context())
		if err := service.Run(ctx, cfg); err == nil {
			t.Errorf("%s: no error", reason)
		}
		stop()
	}
}
