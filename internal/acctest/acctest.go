// Package acctest owns what acceptance tests stand on: a vCenter with guests, and the provider with its embedded hub in the
// test's own process, driven by the real Terraform or OpenTofu CLI.
package acctest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// Env is one test's world.
type Env struct {
	VCenter *testkit.VCenter
	// ProviderFactories is what resource.TestCase takes.
	ProviderFactories map[string]func() (tfprotov6.ProviderServer, error)
	// DataDir is the provider's data_dir.
	DataDir string

	tb  testing.TB
	hub *embedded.Hub
}

// New starts a world that ends with the test.
func New(tb testing.TB, opts ...testkit.Options) *Env {
	tb.Helper()
	// A variable that names a missing file makes OpenTofu fail in ways nobody understands.
	if err := os.Unsetenv("TF_CLI_CONFIG_FILE"); err != nil {
		tb.Fatal(err)
	}
	var options testkit.Options
	if len(opts) > 0 {
		options = opts[0]
	}
	env := &Env{VCenter: testkit.Start(tb, options), DataDir: filepath.Join(tb.TempDir(), "data"), tb: tb}
	env.start()
	tb.Cleanup(env.stop)
	env.ProviderFactories = map[string]func() (tfprotov6.ProviderServer, error){
		"palette": func() (tfprotov6.ProviderServer, error) {
			return providerserver.NewProtocol6WithError(provider.New("test", env.transport)())()
		},
	}
	return env
}

func (e *Env) start() {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("PALETTE_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	e.hub = embedded.New("test", log, embedded.WithPace(20*time.Millisecond))
}

func (e *Env) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := e.hub.Close(ctx); err != nil {
		e.tb.Errorf("closing the embedded hub: %v", err)
	}
}

func (e *Env) transport(_ context.Context, dataDir string) (http.RoundTripper, error) {
	return e.hub.Transport(dataDir)
}

// Restart ends the embedded hub and gateway and starts them anew on the same records, as the next run of Terraform does.
func (e *Env) Restart() {
	e.stop()
	e.start()
}

// ProviderConfig is the provider block of the test's world.
func (e *Env) ProviderConfig() string {
	return fmt.Sprintf("provider \"palette\" {\n  data_dir = %q\n}\n", e.DataDir)
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
	transport, err := e.hub.Transport(e.DataDir)
	if err != nil {
		e.tb.Fatal(err)
	}
	client, err := hubapi.NewClient(hubapi.Config{Endpoint: "http://hub", Project: "default", Transport: transport})
	if err != nil {
		e.tb.Fatal(err)
	}
	return client
}
