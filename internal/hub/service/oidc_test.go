package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// TestPipelineWithoutASecret: a job's identity is all that the client needs, and the audit log names the job.
func TestPipelineWithoutASecret(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	issuer := httptest.NewTLSServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	})
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	config := fmt.Appendf(nil, `[{"issuer": %q, "audience": "hub", "ca_file": %q, "rules": [
		{"claims": {"repository": "acme/infra"}, "project": "prod", "role": "editor"}]}]`, issuer.URL, filepath.Join(dir, "ca.pem"))
	for name, body := range map[string][]byte{"ca.pem": ca, "oidc.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := hubtest.Start(t, func(c *service.Config) { c.OIDCConfig = filepath.Join(dir, "oidc.json") })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := func(repository, project string) *hubapi.Client {
		identity, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": issuer.URL, "aud": "hub", "sub": "repo:" + repository, "repository": repository,
			"exp": time.Now().Add(5 * time.Minute).Unix(),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		c, err := hubapi.NewClient(hubapi.Config{Endpoint: h.URL, Token: identity, CACertificate: h.CA, Project: project})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	id := uuid.NewString()
	if err := client("acme/infra", "prod").DeleteCluster(t.Context(), id); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("an editor of the project: %v", err)
	}
	for repository, project := range map[string]string{"acme/infra": "other", "evil/infra": "prod"} {
		if err := client(repository, project).DeleteCluster(t.Context(), id); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
			t.Errorf("%s in project %s: %v", repository, project, err)
		}
	}
	if _, err := client("acme/infra", "prod").Audit(t.Context(), 0, 0); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
		t.Errorf("an editor reads the audit log: %v", err)
	}
	entries, err := h.Client("prod", hubapi.RoleAdmin).Audit(t.Context(), 0, 0)
	if want := "oidc:" + issuer.URL + "#repo:acme/infra"; err != nil || len(entries) != 3 || entries[0].Actor != want {
		t.Errorf("the audit log has %+v, %v; want first %s", entries, err, want)
	}
}
