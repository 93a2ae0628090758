// Package acctest owns what acceptance tests stand on: a vCenter with guests, and the provider with a hub and a gateway in the
// test's own process, driven by the real Terraform or OpenTofu CLI. The hub is the provider's own, or, in remote mode, one
// that is served by HTTPS, with a gateway that has dialled out to it.
package acctest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/appliance/deployer"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// modeVariable chooses where the hub is: "remote", or in the provider, which is the default.
const modeVariable = "PALETTE_TEST_MODE"

// pace is how often tests look at vCenter's updates.
const pace = 20 * time.Millisecond

// Env is one test's world.
type Env struct {
	VCenter *testkit.VCenter
	// ProviderFactories is what resource.TestCase takes.
	ProviderFactories map[string]func() (tfprotov6.ProviderServer, error)

	tb   testing.TB
	mode mode
}

// mode is where the hub and the gateway are.
type mode interface {
	start(tb testing.TB)
	stop(tb testing.TB)
	// settings are the provider's attributes, by name.
	settings() map[string]string
	// embedded opens the provider's own hub, where it has one.
	embedded(ctx context.Context, dataDir string) (http.RoundTripper, error)
	client() (*hubapi.Client, error)
}

// New starts a world that ends with the test, in the mode that the environment asks for.
func New(tb testing.TB, opts ...testkit.Options) *Env {
	tb.Helper()
	if Remote() {
		return newEnv(tb, newRemote(tb), opts)
	}
	return newEnv(tb, newEmbedded(tb), opts)
}

// NewEmbedded starts a world whose hub is in the provider, whatever the environment asks for.
func NewEmbedded(tb testing.TB, opts ...testkit.Options) *Env {
	tb.Helper()
	return newEnv(tb, newEmbedded(tb), opts)
}

// Remote tells whether tests without a mode of their own run with a hub that is reached by HTTPS.
func Remote() bool { return os.Getenv(modeVariable) == "remote" }

func newEnv(tb testing.TB, m mode, opts []testkit.Options) *Env {
	tb.Helper()
	// A variable that names a missing file makes OpenTofu fail in ways nobody understands.
	if err := os.Unsetenv("TF_CLI_CONFIG_FILE"); err != nil {
		tb.Fatal(err)
	}
	var options testkit.Options
	if len(opts) > 0 {
		options = opts[0]
	}
	if r, ok := m.(*remote); ok {
		options.Guests.Gateway = r.boot
	}
	env := &Env{VCenter: testkit.Start(tb, options), tb: tb, mode: m}
	m.start(tb)
	tb.Cleanup(func() { m.stop(tb) })
	env.ProviderFactories = map[string]func() (tfprotov6.ProviderServer, error){
		"palette": func() (tfprotov6.ProviderServer, error) {
			return providerserver.NewProtocol6WithError(provider.New("test", m.embedded, provider.WithDeployer(deployer.New("test")))())()
		},
	}
	return env
}

// testLog is what hub and gateway log to.
func testLog() *slog.Logger {
	if os.Getenv("PALETTE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Restart ends hub and gateway and starts them anew on the same records: in embedded mode, as the next run of Terraform
// does.
func (e *Env) Restart() {
	e.mode.stop(e.tb)
	e.mode.start(e.tb)
}

// ProviderConfig is the provider block of the test's world.
func (e *Env) ProviderConfig() string {
	var text strings.Builder
	text.WriteString("provider \"palette\" {\n")
	settings := e.mode.settings()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "  %s = %q\n", name, settings[name])
	}
	return text.String() + "}\n"
}

// Setenv has the environment stand in for the provider block, until the test ends.
func (e *Env) Setenv(t *testing.T) {
	t.Helper()
	variables := map[string]string{
		"endpoint": "PALETTE_ENDPOINT", "token": "PALETTE_TOKEN", "ca_certificate": "PALETTE_CA_CERTIFICATE",
		"data_dir": "PALETTE_DATA_DIR",
	}
	for name, value := range e.mode.settings() {
		t.Setenv(variables[name], value)
	}
}

// AccountConfig is a cloud account named "this" for the test's vCenter.
func (e *Env) AccountConfig() string {
	return fmt.Sprintf(`
resource "palette_cloud_account" "this" {
  name                = "lab"
  vcenter             = %q
  username            = %q
  password_wo         = %q
  password_wo_version = 1
  ca_certificate      = <<-EOT
%s
  EOT
}
`, e.VCenter.Host(), e.VCenter.Username(), e.VCenter.Password(), e.VCenter.CACertificate())
}

// Client speaks to the same hub as the provider.
func (e *Env) Client() *hubapi.Client {
	e.tb.Helper()
	client, err := e.mode.client()
	if err != nil {
		e.tb.Fatal(err)
	}
	return client
}

// Gateway is the gateway that objects without gateway_id belong to.
func (e *Env) Gateway() *hubapi.Gateway {
	e.tb.Helper()
	all, err := e.Client().Gateways(e.tb.Context())
	if err != nil || len(all) != 1 {
		e.tb.Fatalf("there are %d gateways, %v", len(all), err)
	}
	return &all[0]
}
