package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
)

// System is a gateway beside a hub in the same process.
type System struct {
	id      string
	gateway *gateway.Gateway
	memory  *memoryTransport
}

// OpenSystem starts the gateway whose identity is in the directory; it is made if it is missing. It is the identity of the
// system gateway that a provider carries, so a hub may go on where embedded ones stopped.
func OpenSystem(dir, version string, log *slog.Logger) (*System, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	identity, err := gateway.LoadIdentity(filepath.Join(dir, "gateway.json"))
	if err != nil {
		return nil, err
	}
	g := gateway.New(gateway.Config{Identity: identity, Version: version, Log: log})
	return &System{id: identity.ID, gateway: g, memory: newMemoryTransport(g.Handler())}, nil
}

// ID returns the gateway's id.
func (s *System) ID() string { return s.id }

// Transport returns the way to the gateway.
func (s *System) Transport() http.RoundTripper { return s.memory }

// Close stops the gateway's work where it stands and logs out of every vCenter.
func (s *System) Close(ctx context.Context) error {
	return errors.Join(s.gateway.Close(ctx), s.memory.close())
}
