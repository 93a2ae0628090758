package provider

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const anID = "6f1e6b0e-7d3e-4b8b-9f43-0c8f3f1f6c3a"

func clientFor(t *testing.T, s settings, embedded Embedded) *hubapi.Client {
	t.Helper()
	transport, err := transportFor(s, embedded)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newClient(s, transport, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestEmbeddedStartsOnce checks that the hub is started by the first request and not again, and that a start that failed
// is tried again by the next one.
func TestEmbeddedStartsOnce(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteJSON(w, http.StatusOK, hubapi.CloudAccount{})
	}))
	t.Cleanup(hub.Close)
	var starts atomic.Int32
	errBoom := errors.New("boom")
	embedded := func(_ context.Context, dir string) (http.RoundTripper, error) {
		if dir != "/data" {
			t.Errorf("started in %s", dir)
		}
		if starts.Add(1) == 1 {
			return nil, errBoom
		}
		return redirect(strings.TrimPrefix(hub.URL, "http://")), nil
	}
	client := clientFor(t, settings{DataDir: "/data", Project: "default"}, embedded)
	if n := starts.Load(); n != 0 {
		t.Fatalf("started %d times before it was used", n)
	}
	_, err := client.CloudAccount(t.Context(), anID)
	var problem *hubapi.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.Detail, "boom") || problem.Hint == "" {
		t.Errorf("a start that fails: want a problem that says why and what to do, got %v", err)
	}
	for range 2 {
		if _, err := client.CloudAccount(t.Context(), anID); err != nil {
			t.Error(err)
		}
	}
	if n := starts.Load(); n != 2 {
		t.Errorf("want one failed start and one more, got %d", n)
	}
}

// redirect sends every request to one address.
type redirect string

// RoundTrip implements http.RoundTripper.
func (host redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = string(host)
	return http.DefaultTransport.RoundTrip(r)
}

func TestUnknownSettings(t *testing.T) {
	client := clientFor(t, settings{Project: "default", Unknown: []string{"endpoint", "project"}}, nil)
	_, err := client.CloudAccount(t.Context(), anID)
	if !errors.Is(err, hubapi.ErrUnconfigured) {
		t.Errorf("want ErrUnconfigured, got %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "attributes endpoint, project") {
		t.Errorf("the attributes are not named: %v", err)
	}
}

func TestNoEmbeddedHub(t *testing.T) {
	client := clientFor(t, settings{DataDir: "x", Project: "default"}, nil)
	_, err := client.CloudAccount(t.Context(), anID)
	var problem *hubapi.Problem
	if !errors.As(err, &problem) || problem.Code != hubapi.CodeInvalid {
		t.Errorf("want a problem, got %v", err)
	}
}

func TestTransportRefusesBadCertificate(t *testing.T) {
	_, err := transportFor(settings{Endpoint: "https://hub", CACertificate: "none"}, nil)
	if !errors.Is(err, errBadCertificate) {
		t.Errorf("want errBadCertificate, got %v", err)
	}
}

// TestLogHoldsNoSecrets checks what a debug line has, and that headers, bodies and queries are not in it.
func TestLogHoldsNoSecrets(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(hubapi.HeaderRequestID, r.Header.Get(hubapi.HeaderRequestID))
		hubapi.WriteJSON(w, http.StatusOK, hubapi.CloudAccount{Meta: hubapi.Meta{ID: anID, Name: "body-secret"}})
	}))
	t.Cleanup(hub.Close)
	var out bytes.Buffer
	ctx := hubapi.WithRequestID(tflogtest.RootLogger(t.Context(), &out), "req-1")
	client := clientFor(t, settings{Endpoint: hub.URL, Token: "header-secret", Project: "default"}, nil)
	_, err := client.PutCloudAccount(ctx, anID, hubapi.CloudAccountWrite{SealedPassword: []byte("sent-secret")}, hubapi.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "secret") || strings.Contains(text, "c2VudC1zZWNyZXQ") {
		t.Errorf("the log holds a secret: %s", text)
	}
	lines, err := tflogtest.MultilineJSONDecode(&out)
	if err != nil || len(lines) != 1 {
		t.Fatalf("want one line, got %v, %v", lines, err)
	}
	got := map[string]any{}
	for _, key := range []string{"@message", "method", "path", "status", "request_id"} {
		got[key] = lines[0][key]
	}
	want := map[string]any{
		"@message": "hub answered", "method": "PUT", "status": float64(200), "request_id": "req-1",
		"path": "/v1/projects/default/cloud-accounts/" + anID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log line: -want, +got:\n%s", diff)
	}
	if _, ok := lines[0]["duration_ms"]; !ok {
		t.Error("the line has no duration")
	}
}
