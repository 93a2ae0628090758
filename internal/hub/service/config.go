// Package service owns a hub as a process: it opens the records, listens, and puts the API, the gateways' sessions, health
// and metrics behind one port. Run is the whole of it; the command "hub run" only fills in the configuration.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// Config is what a hub needs to run.
type Config struct {
	// Listen is the address of the one port, such as ":8443".
	Listen string
	// DataDir holds what is not in the database: the lock, a certificate made for trying out, the secret.
	DataDir string
	// Database is "" for a file in DataDir, or a PostgreSQL URL.
	Database string
	// TLSCert and TLSKey are PEM files, read again when they change. Without them, and without PlainHTTP, a self-signed
	// certificate is made.
	TLSCert, TLSKey string
	// PlainHTTP serves without TLS, for a proxy that has it.
	PlainHTTP bool
	// SecretFile holds the 32 bytes that what the hub keeps secret is encrypted with; it is made if it is missing. "" is a
	// file in DataDir.
	SecretFile string
	// AdvertiseURL is how gateways reach this very hub, where it is one of several behind a common name.
	AdvertiseURL string
	// OIDCConfig is a file that says which issuers vouch for workloads; "" is none.
	OIDCConfig string
	// MetricsListen is the address of a port for metrics alone, which asks nobody who they are; "" is none.
	MetricsListen string
	// Proxies are believed about where a request comes from.
	Proxies access.Proxies
	Limits  access.Limits
	// System is the gateway beside the hub; nil is none.
	System  *System
	Version string
	// Clock may be nil: the system's.
	Clock func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// Out is told what a person has to know at the start; nil is nobody.
	Out io.Writer
	// Ready is called with the addresses once the hub listens; it may be nil.
	Ready func(Addresses)
}

// System is a gateway beside the hub, in the same process.
type System struct {
	ID        string
	Transport http.RoundTripper
}

// Addresses are where a hub listens. Metrics is "" where it has no port of its own.
type Addresses struct{ Hub, Metrics string }

func (c *Config) check() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Ready == nil {
		c.Ready = func(Addresses) {}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("a certificate and its key go together: give both or none")
	}
	if c.PlainHTTP && c.TLSCert != "" {
		return errors.New("plain HTTP and a certificate exclude each other")
	}
	if c.shared() && c.SecretFile == "" {
		return errors.New("hubs that share a database share a secret, too: give each the same secret file")
	}
	// The gateway beside a hub has no lease: two of them would do everything twice.
	if c.shared() && c.System != nil {
		return errors.New("a gateway inside the hub is for a hub that has its records to itself: " +
			"beside hubs that share a database run a gateway of its own")
	}
	if c.AdvertiseURL != "" {
		u, err := url.Parse(c.AdvertiseURL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%q is not a URL such as https://hub.example.com", c.AdvertiseURL)
		}
	}
	if c.DataDir == "" {
		return errors.New("a data directory is needed")
	}
	return nil
}

// shared tells whether other hubs may work on the same records.
func (c *Config) shared() bool { return store.IsPostgres(c.Database) }

// recordsFile is the file of the records in a data directory.
const recordsFile = "hub.db"

// OpenRecords opens the records of a hub; the directory is made if it is missing. They may be in use by a hub that runs.
func OpenRecords(ctx context.Context, database, dataDir string) (store.Database, error) {
	if store.IsPostgres(database) {
		return store.Open(ctx, database)
	}
	if database != "" {
		return nil, errors.New("the database is not a URL such as postgres://...; a file is named by the data directory")
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	return store.Open(ctx, filepath.Join(dataDir, recordsFile))
}

// OpenExistingRecords is OpenRecords for those who look after a hub that is there: a directory in which no hub has run is
// taken for a mistake, and nothing is made in it.
func OpenExistingRecords(ctx context.Context, database, dataDir string) (store.Database, error) {
	if database == "" {
		if _, err := os.Stat(filepath.Join(dataDir, recordsFile)); err != nil {
			return nil, fmt.Errorf("no hub has its records in %s: give the hub's own --data-dir or --database, and start it once before: %w",
				dataDir, err)
		}
	}
	return OpenRecords(ctx, database, dataDir)
}
