package agent

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// everyPath are the paths that a hub can ask in a session.
var everyPath = []string{
	gatewayapi.PathHub, gatewayapi.PathIntroduce, gatewayapi.PathRenew, gatewayapi.PathIdentity, gatewayapi.PathLease,
	gatewayapi.PathVerifyAccount, gatewayapi.PathInventory, gatewayapi.PathPreview, gatewayapi.PathObserve, gatewayapi.PathAssign,
	gatewayapi.PathHandover, gatewayapi.PathAck,
}

// hostileAgent is a paired replica whose handler is asked directly.
func hostileAgent(t testing.TB) http.Handler {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gw")
	d, err := openDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	keys, err := newPendingKeys(uuid.NewString())
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	csr, err := requestFor(keys.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	gateway, replica := uuid.NewString(), uuid.NewString()
	err = d.change(func(id *identity) {
		*id = identity{
			Hub: "https://hub.example.com", Gateway: gateway, Project: "default", Replica: replica, CA: string(ca.pem()),
			Certificate: ca.replica(csr, "default", gateway, replica, ca.cert.NotAfter),
			TLSKey:      keys.TLSKey, IdentityKey: keys.Identity, SealingKey: keys.Sealing,
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAgent(Config{DataDir: dir, Version: "test"}.orDefault(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.gateway.Close(t.Context()) })
	return a.handler(a.hubs, &session{hello: make(chan struct{}), stop: func() {}})
}

// TestHostileRequests shows that a gateway answers what no hub should send with a problem, and neither believes nor dials
// what it names.
func TestHostileRequests(t *testing.T) {
	handler := hostileAgent(t)
	bodies := map[string]string{
		"nothing": "", "no JSON": "\x00\xff\x1b[31m", "cut off": `{"instance":"a`, "a list": "[]", "deep": strings.Repeat("[", 100_000),
		"two documents": "{}{}", "unknown field": `{"surprise":1}`, "huge": `{"instance":"` + strings.Repeat("x", hubapi.MaxBody) + `"}`,
		"long name": `{"instance":"` + strings.Repeat("x", 1000) + `"}`, "wrong type": `{"instance":{},"epoch":"x","pairing_id":1,"id":[]}`,
		"path": `{"pairing_id":"../../etc/passwd"}`, "negative": `{"epoch":-1,"holder":true,"ttl_millis":-9223372036854775808}`,
	}
	for _, path := range everyPath {
		for name, body := range bodies {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			if w.Code == http.StatusOK && name != "unknown field" && !harmless(path, body) {
				t.Errorf("%s takes %s: %s", path, name, w.Body)
			}
			if w.Code >= 500 && w.Code != http.StatusBadGateway {
				t.Errorf("%s answers %s with %d: %s", path, name, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "\x1b") {
				t.Errorf("%s repeats a terminal's commands", path)
			}
		}
	}
	for _, path := range []string{"/", "/v1", "/v1/unknown", "/v1/../etc/passwd", "/debug/pprof/", "/metrics", "/status", "/v1/enrol", "/v1/refusal"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodConnect, http.MethodDelete} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, "/", http.NoBody)
			r.URL.Path = path
			handler.ServeHTTP(w, r)
			if w.Code < 300 {
				t.Errorf("%s %s is answered: %s", method, path, w.Body)
			}
		}
	}
}

// harmless tells whether a path may take a body that says nothing.
func harmless(path, body string) bool {
	return path == gatewayapi.PathAck && strings.HasPrefix(body, "{") || path == gatewayapi.PathRenew && body == "{}"
}

func FuzzHandler(f *testing.F) {
	handler := hostileAgent(f)
	for i := range everyPath {
		f.Add(i, []byte(`{"instance":"a","replicas":{"a":"https://x"}}`))
		f.Add(i, []byte(`{"pairing_id":"6f9619ff-8b86-4011-b42d-00c04fc964ff","transfer_key":"AAAA","invitation":"AAAA"}`))
		f.Add(i, []byte(`{"gateway":"x","certificate":"AAAA","ca":"AAAA"}`))
	}
	f.Fuzz(func(t *testing.T, path int, body []byte) {
		w := httptest.NewRecorder()
		to := everyPath[uint(path)%uint(len(everyPath))]
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, to, bytes.NewReader(body)))
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s: %s", to, w.Body)
		}
	})
}
