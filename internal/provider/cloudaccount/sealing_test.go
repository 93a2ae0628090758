package cloudaccount_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const projectPath = "/v1/projects/default"

// hostileHub is a hub that can show another key for its gateway, and that opens what is sealed to its own.
type hostileHub struct {
	mu        sync.Mutex
	key       *seal.PrivateKey
	account   *hubapi.CloudAccount
	passwords []string
	errs      []error
}

// newKey gives the gateway another key.
func (h *hostileHub) newKey(t *testing.T) {
	t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key = key
}

func (h *hostileHub) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			defer h.mu.Unlock()
			v, err := answer(r)
			if err != nil {
				h.errs = append(h.errs, fmt.Errorf("%s: %w", pattern, err))
				hubapi.WriteProblem(w, hubapi.AsProblem(err))
				return
			}
			hubapi.WriteJSON(w, http.StatusOK, v)
		})
	}
	handle("GET "+projectPath+"/gateways/{id}", func(*http.Request) (any, error) {
		return hubapi.Gateway{
			Meta: hubapi.Meta{ID: gatewayID}, System: true,
			Status: hubapi.GatewayStatus{PublicKey: base64.StdEncoding.EncodeToString(h.key.PublicKey())},
		}, nil
	})
	handle("GET "+projectPath+"/cloud-accounts/{id}", func(*http.Request) (any, error) { return h.account, nil })
	handle("DELETE "+projectPath+"/cloud-accounts/{id}", func(*http.Request) (any, error) { return nil, nil })
	handle("PUT "+projectPath+"/cloud-accounts/{id}", h.put)
	return mux
}

func (h *hostileHub) put(r *http.Request) (any, error) {
	var write hubapi.CloudAccountWrite
	if err := hubapi.ReadJSON(httptest.NewRecorder(), r, &write); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	if len(write.SealedPassword) > 0 {
		binding, err := hubapi.PasswordBinding("default", id, write.Spec)
		if err != nil {
			return nil, err
		}
		password, err := h.key.Open(binding, write.SealedPassword)
		if err != nil {
			return nil, err
		}
		h.passwords = append(h.passwords, string(password))
	}
	h.account = &hubapi.CloudAccount{Meta: hubapi.Meta{ID: id, Name: write.Name}, Spec: write.Spec}
	return h.account, nil
}

const gatewayID = "0b3f5a0e-52c4-4a55-9a2c-6a6f6f2c4b11"

// TestAccCloudAccountKeyChange checks that a password is not sealed to a key that the gateway did not have before, and
// that what is sent can be opened for exactly what it was sent for.
func TestAccCloudAccountKeyChange(t *testing.T) {
	t.Parallel()
	hub := &hostileHub{}
	hub.newKey(t)
	server := httptest.NewServer(hub.handler())
	t.Cleanup(server.Close)
	config := func(name, version string) string {
		return fmt.Sprintf(`
provider "palette" { endpoint = %q }
resource "palette_cloud_account" "this" {
  name                = %q
  vcenter             = "https://VC.example/sdk"
  username            = "user"
  password_wo         = "secret"
  password_wo_version = %s
}
`, server.URL, name, version)
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"palette": providerserver.NewProtocol6WithError(provider.New("test", nil)()),
		},
		Steps: []resource.TestStep{
			{Config: config("lab", "1"), ConfigPlanChecks: created},
			{Config: config("lab", "2"), ConfigPlanChecks: updated},
			{
				PreConfig: func() { hub.newKey(t) },
				Config:    config("lab", "3"), ExpectError: regexp.MustCompile(`(?s)key of gateway.*was\s+sha256:.*is\s+now.*untrusted`),
			},
			// Without the password nothing is sealed, so nothing can go to the new key.
			{Config: config("prod", "2"), ConfigPlanChecks: updated},
		},
	})
	hub.mu.Lock()
	defer hub.mu.Unlock()
	if len(hub.passwords) != 2 || hub.passwords[0] != "secret" || hub.passwords[1] != "secret" {
		t.Errorf("want the password twice, got it %d times", len(hub.passwords))
	}
	for _, err := range hub.errs {
		t.Error(err)
	}
}

// TestAccCloudAccountResumes checks a create whose answer was lost before the state was written: the account is taken over,
// with the password of this run.
func TestAccCloudAccountResumes(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	id := tfkit.NewID()
	client := env.Client()
	gateway := env.Gateway()
	spec := hubapi.CloudAccountSpec{
		GatewayID: gateway.ID, VCenter: env.VCenter.Host(), Username: env.VCenter.Username(),
		Trust: hubapi.Trust{Thumbprints: []string{env.VCenter.Thumbprint()}},
	}
	sealed, _, err := client.SealPassword(t.Context(), id, spec, "", env.VCenter.Password())
	if err != nil {
		t.Fatal(err)
	}
	write := hubapi.CloudAccountWrite{Name: "lab", Spec: spec, SealedPassword: sealed}
	if _, err := client.PutCloudAccount(t.Context(), id, write, hubapi.WriteOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		CheckDestroy:             gone(env),
		Steps: []resource.TestStep{
			{
				Config: config(env, arguments{"password_wo": `"wrong"`}), ExpectError: regexp.MustCompile(`credentials`),
			},
			{
				Config: config(env, nil), ConfigPlanChecks: created,
				ConfigStateChecks: []statecheck.StateCheck{value("id", knownvalue.StringExact(id))},
			},
		},
	})
}
