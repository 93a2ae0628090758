package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// ci is an issuer, as a CI system has one.
type ci struct {
	t      *testing.T
	url    string
	caFile string
	clock  *clock

	mu     sync.Mutex
	keys   map[string]crypto.Signer
	asked  int
	down   bool
	issuer string // that discovery names; "" is the right one
}

func newCI(t *testing.T) *ci {
	t.Helper()
	c := &ci{t: t, clock: newClock(), keys: map[string]crypto.Signer{}}
	server := httptest.NewTLSServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.url, c.caFile = server.URL, filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(c.caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	c.addKey("one")
	return c
}

func (c *ci) addKey(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	c.set(func() { c.keys[id] = key })
}

func (c *ci) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

func (c *ci) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		issuer := c.issuer
		if issuer == "" {
			issuer = c.url
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "jwks_uri": c.url + "/keys"})
	case "/keys":
		c.asked++
		set := jose.JSONWebKeySet{}
		for id, key := range c.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
}

const audience = "https://hub.example.com"

func (c *ci) claims(change map[string]any) map[string]any {
	now := c.clock.now()
	all := map[string]any{
		"iss": c.url, "aud": audience, "sub": "repo:org/infra:ref:refs/heads/main",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"repository": "org/infra", "ref": "refs/heads/main",
	}
	maps.Copy(all, change)
	for name, value := range change {
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

// sign signs with the issuer's key of the id.
func (c *ci) sign(id string, claims map[string]any) string {
	c.mu.Lock()
	key := c.keys[id]
	c.mu.Unlock()
	return signWith(c.t, jose.ES256, key, id, claims)
}

func signWith(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (c *ci) issuers(change func(*Issuer)) *Issuers {
	c.t.Helper()
	config := Issuer{
		Issuer: c.url, Audience: audience, CAFile: c.caFile,
		Rules: []Rule{
			{Claims: map[string]string{"repository": "org/infra", "ref": "refs/heads/main"}, Project: "prod", Role: hubapi.RoleEditor},
			{Claims: map[string]string{"repository": "org/infra"}, Project: "prod", Role: hubapi.RoleViewer},
			{
				Claims:        map[string]string{"repository": "org/infra"},
				ClaimPatterns: map[string]string{"ref": "refs/tags/v*"}, Project: "release", Role: hubapi.RoleAdmin,
			},
			{Claims: map[string]string{"protected": "true", "run": "7", "groups": "ops"}, Project: "ops", Role: hubapi.RoleAdmin},
		},
	}
	if change != nil {
		change(&config)
	}
	all, err := NewIssuers([]Issuer{config}, c.clock.now)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(all.Close)
	return all
}

func TestIdentify(t *testing.T) {
	c := newCI(t)
	all := c.issuers(nil)
	subject := "repo:org/infra:ref:refs/heads/main"
	id := "oidc:" + c.url + "#" + subject
	for reason, tc := range map[string]struct {
		change  map[string]any
		project string
		want    hub.Principal
		code    hubapi.Code
	}{
		"the first rule that fits": {nil, "prod", hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleEditor}, ""},
		"the next rule": {
			map[string]any{"ref": "refs/heads/topic"},
			"prod",
			hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleViewer},
			"",
		},
		"a rule for the project that is asked for": {
			map[string]any{"ref": "refs/tags/v1"},
			"release",
			hub.Principal{ID: id, Name: subject, Project: "release", Role: hubapi.RoleAdmin},
			"",
		},
		"a pattern stops at a slash": {
			map[string]any{"ref": "refs/tags/v1/x"},
			"release",
			hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleViewer},
			"",
		},
		"exact is exact": {map[string]any{"repository": "org/infra2"}, "prod", hub.Principal{}, hubapi.CodeForbidden},
		"case counts":    {map[string]any{"repository": "Org/infra"}, "prod", hub.Principal{}, hubapi.CodeForbidden},
		"booleans, numbers and lists": {
			map[string]any{"repository": nil, "protected": true, "run": 7, "groups": []string{"dev", "ops"}},
			"ops",
			hub.Principal{ID: id, Name: subject, Project: "ops", Role: hubapi.RoleAdmin},
			"",
		},
		"an object never fits":      {map[string]any{"repository": map[string]string{"org/infra": "org/infra"}}, "prod", hub.Principal{}, hubapi.CodeForbidden},
		"null never fits":           {map[string]any{"repository": json.RawMessage("null")}, "prod", hub.Principal{}, hubapi.CodeForbidden},
		"several audiences":         {map[string]any{"aud": []string{"x", audience}}, "prod", hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleEditor}, ""},
		"another audience":          {map[string]any{"aud": "https://other.example.com"}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"no audience":               {map[string]any{"aud": nil}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"another issuer":            {map[string]any{"iss": "https://evil.example.com"}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"issuer with a slash":       {map[string]any{"iss": c.url + "/"}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"expired within the leeway": {map[string]any{"exp": c.clock.now().Add(-59 * time.Second).Unix()}, "prod", hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleEditor}, ""},
		"expired":                   {map[string]any{"exp": c.clock.now().Add(-61 * time.Second).Unix()}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"does not expire":           {map[string]any{"exp": nil}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"not yet within the leeway": {map[string]any{"nbf": c.clock.now().Add(59 * time.Second).Unix()}, "prod", hub.Principal{ID: id, Name: subject, Project: "prod", Role: hubapi.RoleEditor}, ""},
		"not yet":                   {map[string]any{"nbf": c.clock.now().Add(61 * time.Second).Unix()}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"made in the future":        {map[string]any{"iat": c.clock.now().Add(61 * time.Second).Unix()}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
		"no subject":                {map[string]any{"sub": nil}, "prod", hub.Principal{}, hubapi.CodeUnauthorized},
	} {
		got, err := all.identify(t.Context(), c.sign("one", c.claims(tc.change)), tc.project)
		if tc.code != "" {
			if !errors.Is(err, &hubapi.Problem{Code: tc.code}) {
				t.Errorf("%s: %+v, %v", reason, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", reason, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

func TestForgedIdentities(t *testing.T) {
	c := newCI(t)
	all := c.issuers(nil)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := c.sign("one", c.claims(nil))
	parts := strings.Split(good, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
	public, err := (jose.JSONWebKey{Key: c.keys["one"].Public()}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for reason, text := range map[string]string{
		"signed by another key under the same id": signWith(t, jose.ES256, other, "one", c.claims(nil)),
		"another kind of key":                     signWith(t, jose.RS256, rsaKey, "one", c.claims(nil)),
		"HMAC with the public key":                signWith(t, jose.HS256, public, "one", c.claims(nil)),
		"alg none":                                none,
		"no signature":                            parts[0] + "." + parts[1] + ".",
		"claims of another":                       parts[0] + "." + strings.Split(c.sign("one", c.claims(map[string]any{"ref": "x"})), ".")[1] + "." + parts[2],
		"nonsense":                                "a.b.c",
		"no key of that id":                       signWith(t, jose.ES256, other, "two", c.claims(nil)),
		"JSON form":                               `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"encrypted":                               parts[0] + "." + parts[1] + "." + parts[2] + ".x.y",
	} {
		if who, err := all.identify(t.Context(), text, "prod"); !errors.Is(err, errUnauthorized) {
			t.Errorf("%s: %+v, %v", reason, who, err)
		}
	}
	if _, err := all.identify(t.Context(), good, "prod"); err != nil {
		t.Fatal(err)
	}
}

func TestKeysOfAnIssuer(t *testing.T) {
	c := newCI(t)
	all := c.issuers(nil)
	identify := func(key string) error {
		_, err := all.identify(context.WithoutCancel(t.Context()), c.sign(key, c.claims(nil)), "prod")
		return err
	}
	asked := func() int { c.mu.Lock(); defer c.mu.Unlock(); return c.asked }
	for range 5 {
		if err := identify("one"); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
	c.addKey("two")
	if err := identify("two"); !errors.Is(err, errUnauthorized) {
		t.Errorf("a new key was asked for at once: %v", err)
	}
	clockTo := func(d time.Duration) { c.clock.advance(d) }
	clockTo(keysPause)
	if err := identify("two"); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if n := asked(); n != 2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	c.set(func() { c.down = true })
	clockTo(2 * keysFresh)
	if err := identify("one"); err != nil {
		t.Errorf("while the issuer is down for a while: %v", err)
	}
	clockTo(keysStale)
	if err := identify("one"); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeUnreachable}) {
		t.Errorf("while the issuer is down for long: %v", err)
	}
	gone := c.sign("one", c.claims(nil))
	c.set(func() { c.down = false; delete(c.keys, "one") })
	clockTo(keysPause)
	if _, err := all.identify(t.Context(), gone, "prod"); !errors.Is(err, errUnauthorized) {
		t.Errorf("a key that was withdrawn: %v", err)
	}
	if err := identify("two"); err != nil {
		t.Errorf("after the issuer has come back: %v", err)
	}
}

func TestDiscoveryHasToNameTheIssuer(t *testing.T) {
	c := newCI(t)
	c.issuer = "https://evil.example.com"
	text := c.sign("one", c.claims(nil))
	if _, err := c.issuers(nil).identify(t.Context(), text, "prod"); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeUnreachable}) {
		t.Errorf("discovery of another issuer: %v", err)
	}
	direct := c.issuers(func(i *Issuer) { i.JWKSURL = c.url + "/keys" })
	if _, err := direct.identify(t.Context(), text, "prod"); err != nil {
		t.Errorf("without discovery: %v", err)
	}
	untrusted := c.issuers(func(i *Issuer) { i.CAFile = "" })
	if _, err := untrusted.identify(t.Context(), text, "prod"); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeUnreachable}) {
		t.Errorf("an issuer whose certificate is not believed: %v", err)
	}
}

func TestLoadIssuers(t *testing.T) {
	const good = `
- issuer: https://ci.example.com
  audience: https://hub.example.com
  rules:
    - claims: {repository: org/infra}
      claim_patterns: {ref: "refs/tags/v*"}
      project: prod
      role: editor
`
	for reason, tc := range map[string]struct {
		change [2]string
		fails  bool
	}{
		"good":              {[2]string{"", ""}, false},
		"unknown field":     {[2]string{"audience:", "audiences:"}, true},
		"plain http":        {[2]string{"https://ci", "http://ci"}, true},
		"no audience":       {[2]string{"audience: https://hub.example.com", "audience: ''"}, true},
		"a rule for all":    {[2]string{"{repository: org/infra}\n      claim_patterns: {ref: \"refs/tags/v*\"}", "{}"}, true},
		"odd role":          {[2]string{"role: editor", "role: owner"}, true},
		"odd project":       {[2]string{"project: prod", "project: '*'"}, true},
		"odd pattern":       {[2]string{"refs/tags/v*", "refs/[tags"}, true},
		"twice":             {[2]string{"", good}, true},
		"no such CA file":   {[2]string{"audience:", "ca_file: /nonexistent\n  audience:"}, true},
		"odd key set's URL": {[2]string{"audience:", "jwks_url: file:///etc/passwd\n  audience:"}, true},
	} {
		text := good
		if tc.change[0] == "" {
			text += tc.change[1]
		} else {
			text = strings.Replace(good, tc.change[0], tc.change[1], 1)
		}
		file := filepath.Join(t.TempDir(), "oidc.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIssuers(file, nil); (err != nil) != tc.fails {
			t.Errorf("%s: %v", reason, err)
		}
	}
}
