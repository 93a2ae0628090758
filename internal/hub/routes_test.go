package hub_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// raw sends a request as no client of ours would, and returns the status and code of the answer.
func (b *bench) raw(method, path, body string, header http.Header) (int, hubapi.Code) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.URL.Opaque = "//" + req.URL.Host + path // sent as it is
	req.Header = http.Header{}
	maps.Copy(req.Header, header)
	resp, err := b.transp.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var p hubapi.Problem
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(text, &p); err != nil || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
			b.t.Errorf("%s %s: not a problem with a request id: %q", method, path, text)
		}
	}
	return resp.StatusCode, p.Code
}

func TestRawRequests(t *testing.T) {
	b := newBench(t)
	id := uuid.NewString()
	const base = "/v1/projects/default"
	for name, tc := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		code               hubapi.Code
	}{
		"nothing there":    {method: "GET", path: "/v2", status: 404, code: hubapi.CodeNotFound},
		"method not there": {method: "PATCH", path: base + "/clusters/" + id, status: 404, code: hubapi.CodeNotFound},
		"id with a slash":  {method: "GET", path: base + "/clusters/..%2f" + id, status: 422, code: hubapi.CodeInvalid},
		"id in upper case": {
			method: "GET", path: base + "/clusters/" + strings.ToUpper(id),
			status: 422, code: hubapi.CodeInvalid,
		},
		"id with a NUL":      {method: "GET", path: base + "/clusters/%00", status: 422, code: hubapi.CodeInvalid},
		"project with a dot": {method: "GET", path: "/v1/projects/%2e%2e/clusters", status: 422, code: hubapi.CodeInvalid},
		"project in caps":    {method: "GET", path: "/v1/projects/Prod/clusters", status: 422, code: hubapi.CodeInvalid},
		"not JSON": {
			method: "PUT", path: base + "/clusters/" + id, body: "{",
			status: 400, code: hubapi.CodeInvalid,
		},
		"empty": {method: "PUT", path: base + "/clusters/" + id, status: 400, code: hubapi.CodeInvalid},
		"unknown field": {
			method: "PUT", path: base + "/clusters/" + id, body: `{"spec":{"colour":"blue"}}`,
			status: 400, code: hubapi.CodeInvalid,
		},
		"two documents": {
			method: "PUT", path: base + "/clusters/" + id, body: `{} {}`,
			status: 400, code: hubapi.CodeInvalid,
		},
		"wrong type": {
			method: "PUT", path: base + "/clusters/" + id, body: `{"spec":{"name":7}}`,
			status: 400, code: hubapi.CodeInvalid,
		},
		"too large": {
			method: "PUT", path: base + "/clusters/" + id, body: `{"spec":"` + strings.Repeat("x", hubapi.MaxBody) + `"}`,
			status: 413, code: hubapi.CodeInvalid,
		},
		"odd If-Match": {
			method: "PUT", path: base + "/clusters/" + id, body: `{}`, header: http.Header{"If-Match": {`"5"`}},
			status: 422, code: hubapi.CodeInvalid,
		},
		"odd If-None-Match": {
			method: "PUT", path: base + "/clusters/" + id, body: `{}`, header: http.Header{"If-None-Match": {`"g1"`}},
			status: 422, code: hubapi.CodeInvalid,
		},
		"both conditions": {
			method: "PUT", path: base + "/clusters/" + id, body: `{}`, header: http.Header{"If-None-Match": {"*"}, "If-Match": {`"g1"`}},
			status: 422, code: hubapi.CodeInvalid,
		},
		"update of nothing": {
			method: "PUT", path: base + "/clusters/" + id, body: `{}`,
			status: 404, code: hubapi.CodeNotFound,
		},
		"events before zero": {
			method: "GET", path: base + "/clusters/" + id + "/events?after=-1",
			status: 422, code: hubapi.CodeInvalid,
		},
		"events of nothing": {
			method: "GET", path: base + "/clusters/" + id + "/events",
			status: 404, code: hubapi.CodeNotFound,
		},
		"odd request id": {
			method: "GET", path: base + "/clusters/" + id, header: http.Header{"X-Request-Id": {"a b\"c"}},
			status: 404, code: hubapi.CodeNotFound,
		},
		"list of an odd name": {method: "GET", path: base + "/clusters?name=%27%20OR%201=1--", status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			status, code := b.raw(tc.method, tc.path, tc.body, tc.header)
			if status != tc.status || code != tc.code {
				t.Errorf("got %d %s, want %d %s", status, code, tc.status, tc.code)
			}
		})
	}
}

func TestProjectsAreApart(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	c := b.create(spec("prod", account.ID))
	other, err := hubapi.NewClient(hubapi.Config{Endpoint: b.url, Transport: b.transp, Project: "other"})
	if err != nil {
		t.Fatal(err)
	}
	_, readErr := other.Cluster(t.Context(), c.ID)
	if _, err := other.ClusterByName(t.Context(), "prod"); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("by name from another project: %v", err)
	}
	watchErr := other.WatchCluster(t.Context(), c.ID, 0, nil)
	_, useErr := other.PreviewCluster(t.Context(), hubapi.ClusterPreview{ID: c.ID, Spec: c.Spec})
	for what, err := range map[string]error{
		"read": readErr, "watch": watchErr, "preview": useErr,
		"delete account": other.DeleteCloudAccount(t.Context(), account.ID),
	} {
		if got := faultOf(t, err); got.Code != hubapi.CodeNotFound {
			t.Errorf("%s from another project: %v", what, err)
		}
	}
	p, err := other.PreviewCluster(t.Context(), hubapi.ClusterPreview{Spec: spec("mine", account.ID)})
	if err != nil || len(p.Problems) != 1 || p.Problems[0].Field != "/cloud_account_id" {
		t.Errorf("an account of another project was used: %+v, %v", p, err)
	}
	_, err = other.PutCloudAccount(t.Context(), account.ID, accountWrite("x"), hubapi.WriteOptions{Create: true})
	if got := faultOf(t, err); got.Code != hubapi.CodeConflict {
		t.Errorf("an id of another project was taken: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	records := openStore(t)
	h, err := hub.New(hub.Config{
		Store: records, Gateways: hub.NewSystemGateway(systemID, nil),
		Authenticate: func(r *http.Request) (hub.Principal, error) {
			if r.Header.Get("Authorization") == "Bearer good" {
				return hub.Principal{Name: "ci", Project: "mine", Role: hubapi.RoleViewer}, nil
			}
			if r.Header.Get("Authorization") == "Bearer odd" {
				return hub.Principal{}, io.EOF
			}
			return hub.Principal{}, hubapi.NewProblem(hubapi.CodeUnauthorized, "who are you?")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		project, token string
		want           int
	}{
		{"mine", "good", http.StatusOK},
		{"other", "good", http.StatusForbidden},
		{"mine", "bad", http.StatusUnauthorized},
		{"mine", "odd", http.StatusInternalServerError},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/v1/projects/"+tc.project+"/clusters", nil)
		r.Header.Set("Authorization", "Bearer "+tc.token)
		h.Handler().ServeHTTP(w, r)
		if diff := cmp.Diff(tc.want, w.Code); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc, diff)
		}
	}
}

func TestPanicIsOneRequestsTrouble(t *testing.T) {
	var log bytes.Buffer
	h, err := hub.New(hub.Config{
		Store: openStore(t), Gateways: hub.NewSystemGateway(systemID, nil), Log: slog.New(slog.NewJSONHandler(&log, nil)),
		Authenticate: func(*http.Request) (hub.Principal, error) { panic("at the disco") },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/projects/a/clusters", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "disco") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "at the disco") {
		t.Errorf("the panic was not logged: %s", &log)
	}
}

func FuzzPutCluster(f *testing.F) {
	f.Add("6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001", `{"spec":{"name":"a"}}`)
	f.Add("..", `{`)
	f.Add("%00", `null`)
	f.Add("6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001", `{"spec":{"worker_pools":{"":{"placements":[{}]}}}}`)
	records := openStore(f)
	h, err := hub.New(hub.Config{Store: records, Gateways: hub.NewSystemGateway(systemID, nil)})
	if err != nil {
		f.Fatal(err)
	}
	handler := h.Handler()
	f.Fuzz(func(t *testing.T, id, body string) {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
		r.URL.Path = "/v1/projects/default/clusters/" + id
		r.Header.Set("If-None-Match", "*")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		// There is no account, so nothing can be right; a redirect is the router's answer to a path with dots.
		if w.Code < 300 || w.Code >= 500 {
			t.Errorf("PUT %q %q: answered %d %s", id, body, w.Code, w.Body)
		}
	})
}

func openStore(tb testing.TB) *store.SQLite {
	tb.Helper()
	s, err := store.OpenSQLite(tb.Context(), filepath.Join(tb.TempDir(), "hub.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
