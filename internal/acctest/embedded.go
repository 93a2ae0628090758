package acctest

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// stopLimit is how long hub and gateway may take to stop.
const stopLimit = 30 * time.Second

// inProvider is the hub that the provider carries.
type inProvider struct {
	dataDir string
	hub     *embedded.Hub
}

func newEmbedded(tb testing.TB) *inProvider {
	tb.Helper()
	return &inProvider{dataDir: filepath.Join(tb.TempDir(), "data")}
}

func (m *inProvider) start(testing.TB) {
	m.hub = embedded.New("test", testLog(), embedded.WithPace(pace))
}

func (m *inProvider) stop(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if err := m.hub.Close(ctx); err != nil {
		tb.Errorf("closing the embedded hub: %v", err)
	}
}

func (m *inProvider) settings() map[string]string { return map[string]string{"data_dir": m.dataDir} }

func (m *inProvider) embedded(_ context.Context, dataDir string) (http.RoundTripper, error) {
	return m.hub.Transport(dataDir)
}

func (m *inProvider) client() (*hubapi.Client, error) {
	transport, err := m.hub.Transport(m.dataDir)
	if err != nil {
		return nil, err
	}
	return hubapi.NewClient(hubapi.Config{Transport: transport, Embedded: true})
}
