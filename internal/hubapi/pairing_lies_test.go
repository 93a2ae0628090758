package hubapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// TestPairWithALyingHub makes tokens at a hub that shows a key of its own for the gateway, or says that there is none: it
// learns no introduction that is kept, and the token names the key that was known before.
func TestPairWithALyingHub(t *testing.T) {
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	known, hubs := "sha256:known", base64.StdEncoding.EncodeToString(key.PublicKey())
	for name, tc := range map[string]struct {
		shows string
		known string
		key   string
		fails bool
	}{
		"OwnKeyFirst": {shows: hubs, key: seal.Fingerprint(key.PublicKey())},
		"OwnKeyLater": {shows: hubs, known: known, fails: true},
		"NoKeyFirst":  {},
		"NoKeyLater":  {known: known, key: known},
	} {
		t.Run(name, func(t *testing.T) {
			var write hubapi.PairingWrite
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					_ = json.NewDecoder(r.Body).Decode(&write)
					hubapi.WriteJSON(w, http.StatusOK, hubapi.Pairing{Pin: make([]byte, 32)})
					return
				}
				hubapi.WriteJSON(w, http.StatusOK, hubapi.Gateway{
					Meta: hubapi.Meta{ID: r.PathValue("id")}, Status: hubapi.GatewayStatus{PublicKey: tc.shows},
				})
			}))
			t.Cleanup(server.Close)
			client, err := hubapi.NewClient(hubapi.Config{Endpoint: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			token, _, err := client.Pair(t.Context(), uuid.NewString(), hubapi.PairOptions{Kept: true, Fingerprint: tc.known})
			if (err != nil) != tc.fails {
				t.Fatalf("made a token: %v", err)
			}
			if token.Key != tc.key {
				t.Errorf("the token names the key %q, want %q", token.Key, tc.key)
			}
			if len(write.Introduction) > 0 {
				t.Error("the hub was given the introduction")
			}
		})
	}
}
