package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// gate is a hub without gateways that takes the role of a request from its Authorization header, and keeps an audit log.
type gate struct {
	t       *testing.T
	handler http.Handler
	mu      sync.Mutex
	entries []store.AuditEntry
	broken  bool
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{t: t}
	h, err := hub.New(hub.Config{
		Store: openStore(t), Gateways: hub.NewSystemGateway(systemID, nil),
		Authenticate: func(r *http.Request) (hub.Principal, error) {
			role, project, ok := strings.Cut(r.Header.Get("Authorization"), "@")
			if !ok {
				return hub.Principal{}, hubapi.NewProblem(hubapi.CodeUnauthorized, "who are you?")
			}
			return hub.Principal{ID: "token:1", Name: "ci", Role: hubapi.Role(role), Project: project}, nil
		},
		Audit: func(_ context.Context, e store.AuditEntry) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.broken {
				return errors.New("the disk is full")
			}
			g.entries = append(g.entries, e)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.handler = h.Handler()
	return g
}

func (g *gate) do(method, path, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w
}

// take returns the entries since the last time.
func (g *gate) take() []store.AuditEntry {
	g.mu.Lock()
	defer g.mu.Unlock()
	entries := g.entries
	g.entries = nil
	return entries
}

// needed is the role of each route, written down a second time: a route that is added, or whose role changes, has to be
// thought about here.
var needed = map[string]hubapi.Role{
	"GET /gateways":                             hubapi.RoleViewer,
	"GET /gateways/{id}":                        hubapi.RoleViewer,
	"PUT /gateways/{id}":                        hubapi.RoleAdmin,
	"DELETE /gateways/{id}":                     hubapi.RoleAdmin,
	"DELETE /gateways/{id}/replicas/{replica}":  hubapi.RoleAdmin,
	"GET /gateways/{id}/pairings/{pairing}":     hubapi.RoleAdmin,
	"PUT /gateways/{id}/pairings/{pairing}":     hubapi.RoleAdmin,
	"GET /gateways/{id}/custody":                hubapi.RoleAdmin,
	"PUT /gateways/{id}/custody":                hubapi.RoleAdmin,
	"GET /cloud-accounts":                       hubapi.RoleViewer,
	"GET /cloud-accounts/{id}":                  hubapi.RoleViewer,
	"PUT /cloud-accounts/{id}":                  hubapi.RoleEditor,
	"DELETE /cloud-accounts/{id}":               hubapi.RoleEditor,
	"GET /cloud-accounts/{id}/inventory/{kind}": hubapi.RoleViewer,
	"GET /ip-pools":                             hubapi.RoleViewer,
	"GET /ip-pools/{id}":                        hubapi.RoleViewer,
	"PUT /ip-pools/{id}":                        hubapi.RoleEditor,
	"DELETE /ip-pools/{id}":                     hubapi.RoleEditor,
	"POST /ip-pools/preview":                    hubapi.RoleViewer,
	"GET /clusters":                             hubapi.RoleViewer,
	"GET /clusters/{id}":                        hubapi.RoleViewer,
	"PUT /clusters/{id}":                        hubapi.RoleEditor,
	"DELETE /clusters/{id}":                     hubapi.RoleEditor,
	"POST /clusters/preview":                    hubapi.RoleViewer,
	"POST /clusters/{id}/refresh":               hubapi.RoleViewer,
	"GET /clusters/{id}/events":                 hubapi.RoleViewer,
	"GET /audit":                                hubapi.RoleAdmin,
}

func TestEveryRouteHasItsRole(t *testing.T) {
	got := map[string]hubapi.Role{}
	for _, route := range hub.Routes() {
		got[route.Method+" "+route.Path] = route.Role
	}
	if diff := cmp.Diff(needed, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestRoles(t *testing.T) {
	g := newGate(t)
	for _, route := range hub.Routes() {
		path := strings.NewReplacer("{project}", "mine", "{kind}", "networks", "{id}", uuid.NewString()).Replace(route.FullPath())
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + uuid.NewString() + after
		}
		for authorization, refused := range map[string]int{
			"":             http.StatusUnauthorized,
			"viewer@mine":  route403(!hubapi.RoleViewer.Allows(route.Role)),
			"editor@mine":  route403(!hubapi.RoleEditor.Allows(route.Role)),
			"admin@mine":   0,
			"admin@":       0,
			"admin@other":  http.StatusForbidden,
			"viewer@other": http.StatusForbidden,
			"@mine":        http.StatusForbidden,
			"owner@mine":   http.StatusForbidden,
		} {
			w := g.do(route.Method, path, authorization, "{}")
			turned := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden
			if (refused != 0) != turned || (refused != 0 && refused != w.Code) {
				t.Errorf("%s %s as %q: answered %d %s", route.Method, path, authorization, w.Code, w.Body)
			}
			if role, _, _ := strings.Cut(authorization, "@"); refused == http.StatusForbidden && role != "" && !strings.Contains(w.Body.String(), `"hint"`) {
				t.Errorf("%s %s as %q: the refusal does not say what to do: %s", route.Method, path, authorization, w.Body)
			}
			if refused == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("401 does not say how to authenticate")
			}
			entries := g.take()
			if kept := len(entries) == 1; kept != (turned || route.Role != hubapi.RoleViewer) {
				t.Errorf("%s %s as %q: the audit log has %+v", route.Method, path, authorization, entries)
			}
		}
	}
}

func route403(refused bool) int {
	if refused {
		return http.StatusForbidden
	}
	return 0
}

// TestPathTricks: whatever a path looks like, a token of one project gets nothing of another.
func TestPathTricks(t *testing.T) {
	g := newGate(t)
	id := uuid.NewString()
	for _, path := range []string{
		"/v1/projects/mine/../other/clusters", "/v1/projects/mine/%2e%2e/other/clusters", "/v1/projects/mine%2f..%2fother/clusters",
		"/v1/projects/other%00/clusters", "/v1/projects/mine/clusters/../../other/clusters", "//v1/projects/other/clusters",
		"/v1//projects/other/clusters", "/v1/projects/OTHER/clusters", "/v1/projects/other/clusters/", "/v1/projects/other;mine/clusters",
		"/v1/projects/mine/clusters/..%2f..%2fother%2fclusters", "/v1/projects/mine/clusters/" + id + "%2fevents",
		"/v1/projects/other?project=mine", "/v1/projects/other/clusters?project=mine", "/v1/projects/mine,other/clusters",
		"/v1/projects//clusters", "/V1/projects/other/clusters", "/v1/projects/mine/clusters/%2e",
		"/v1/projects/\xff/clusters", "/v1/projects/mine\\..\\else/clusters", "/v1/projects/mine%5c..%5cother/clusters",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			r := httptest.NewRequest(method, "/", strings.NewReader("{}"))
			parsed, err := r.URL.Parse("http://hub" + path)
			if err != nil {
				continue // net/http answers such a request by itself
			}
			parsed.Host, parsed.Scheme = "", ""
			r.URL = parsed
			r.Header.Set("Authorization", "admin@mine")
			w := httptest.NewRecorder()
			g.handler.ServeHTTP(w, r)
			var p hubapi.Problem
			if w.Code < 400 || w.Code >= 500 || json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Code == "" {
				t.Errorf("%s %s: answered %d %s", method, path, w.Code, w.Body)
			}
		}
	}
}

func TestAuditEntry(t *testing.T) {
	g := newGate(t)
	id := uuid.NewString()
	const secret = "hunter2-hunter2"
	r := httptest.NewRequest(http.MethodPut, "/v1/projects/mine/cloud-accounts/"+id+"?password="+secret,
		strings.NewReader(fmt.Sprintf(`{"name":%q,"spec":{"username":%q}}`, secret, secret)))
	r.Header.Set("Authorization", "editor@mine")
	r.Header.Set("X-Request-Id", "request-1")
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.RemoteAddr = "192.0.2.9:4711"
	g.handler.ServeHTTP(httptest.NewRecorder(), r)
	entries := g.take()
	if len(entries) != 1 {
		t.Fatalf("kept %+v", entries)
	}
	got := entries[0]
	if got.Time.IsZero() {
		t.Error("the entry has no time")
	}
	got.Time = got.Time.UTC().Truncate(0)
	want := store.AuditEntry{
		Time: got.Time, Project: "mine", Actor: "token:1 ci", Role: hubapi.RoleEditor, Remote: "192.0.2.9",
		Method: "PUT", Route: "/cloud-accounts/{id}", Kind: store.KindCloudAccount, Object: id,
		Outcome: 422, Code: hubapi.CodeInvalid, RequestID: "request-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	g.do(http.MethodDelete, "/v1/projects/mine/clusters/"+secret, "editor@mine", "")
	g.do(http.MethodDelete, "/v1/projects/"+secret+"!/clusters/"+id, "editor@mine", "")
	g.do(http.MethodDelete, "/v1/projects/other/clusters/"+id, "editor@mine", "")
	g.do(http.MethodDelete, "/v1/projects/other/clusters/"+id, "", "")
	entries = g.take()
	if text := fmt.Sprintf("%+v", entries); len(entries) != 4 || strings.Contains(text, secret) {
		t.Errorf("kept %s", text)
	}
	if got := entries[2].Actor; got != "token:1" {
		t.Errorf("another project reads the name of the token: %q", got)
	}
}

// TestAuditThatCannotBeWritten: what was done is done, and its client is told so.
func TestAuditThatCannotBeWritten(t *testing.T) {
	g := newGate(t)
	g.broken = true
	path := "/v1/projects/mine/ip-pools/" + uuid.NewString()
	if w := g.do(http.MethodDelete, path, "editor@mine", ""); w.Code != http.StatusNotFound {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestReadAudit(t *testing.T) {
	records := openStore(t)
	h, err := hub.New(hub.Config{Store: records, Gateways: hub.NewSystemGateway(systemID, nil), Audit: records.AppendAudit})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.Handler())
	defer server.Close()
	clients := map[string]*hubapi.Client{}
	for _, project := range []string{"mine", "other"} {
		clients[project], err = hubapi.NewClient(hubapi.Config{Endpoint: server.URL, Project: project, Transport: server.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := clients[project].DeleteCluster(t.Context(), uuid.NewString()); !errors.Is(err, hubapi.ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	first, err := clients["mine"].Audit(t.Context(), 0, 2)
	if err != nil || len(first) != 2 {
		t.Fatalf("read %+v, %v", first, err)
	}
	rest, err := clients["mine"].Audit(t.Context(), first[1].Seq, 0)
	// The reading of the first page is in the log itself.
	if err != nil || len(rest) != 2 || rest[0].Seq != first[1].Seq+1 || rest[1].Route != "/audit" {
		t.Fatalf("read %+v, %v", rest, err)
	}
	for _, e := range append(first, rest...) {
		if e.Actor != "local" || e.Source != "127.0.0.1" || e.RequestID == "" || len(e.Hash) == 0 {
			t.Errorf("entry %+v", e)
		}
	}
	for _, limit := range []int{-1, hubapi.MaxAuditPage + 1} {
		if _, err := clients["mine"].Audit(t.Context(), 0, limit); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeInvalid}) {
			t.Errorf("a page of %d: %v", limit, err)
		}
	}
	if err := store.VerifyAudit(t.Context(), records); err != nil {
		t.Error(err)
	}
}

// TestStreamsEndWithTheirReadersRights: who is revoked reads nothing more, not even on a stream that is open.
func TestStreamsEndWithTheirReadersRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.NewString()
		cluster := &store.Record{
			Kind: store.KindCluster, ID: id, Project: "mine", Name: "a", SpecJSON: []byte(`{"name":"a"}`), StatusJSON: []byte("{}"),
		}
		if err := records.Commit(t.Context(), store.Batch{Put: []*store.Record{cluster}}); err != nil {
			t.Fatal(err)
		}
		revoked := time.Now().Add(time.Minute)
		h, err := hub.New(hub.Config{
			Store: records, Gateways: hub.NewSystemGateway(systemID, nil),
			Good: func(context.Context, hub.Principal) bool { return time.Now().Before(revoked) },
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Handler().ServeHTTP(httptest.NewRecorder(),
			httptest.NewRequest(http.MethodGet, "/v1/projects/mine/clusters/"+id+"/events", nil))
		if late := time.Since(revoked); late < 0 || late > 20*time.Second {
			t.Errorf("the stream ended %s after its reader was revoked", late)
		}
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTellsWhenToComeBack(t *testing.T) {
	for reason, tc := range map[string]struct {
		err    error
		status int
		after  string
	}{
		"too many requests": {&hub.LaterError{Problem: hubapi.NewProblem(hubapi.CodeRateLimited, "slow down"), After: 1200e6}, 429, "2"},
		"right away":        {&hub.LaterError{Problem: hubapi.NewProblem(hubapi.CodeRateLimited, "slow down"), After: 1e6}, 429, "1"},
		"no database":       {fmt.Errorf("asking: %w", store.ErrUnavailable), 503, "1"},
		"odd":               {errors.New("secret of the house"), 500, ""},
	} {
		h, err := hub.New(hub.Config{
			Store: openStore(t), Gateways: hub.NewSystemGateway(systemID, nil),
			Authenticate: func(*http.Request) (hub.Principal, error) { return hub.Principal{}, tc.err },
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/projects/a/clusters", nil))
		if w.Code != tc.status || w.Header().Get("Retry-After") != tc.after || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: answered %d, Retry-After %q: %s", reason, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}
