package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/openapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

func hubCommand(version string) *cobra.Command {
	cmd := &cobra.Command{Use: "hub", Short: "Run and administer a hub"}
	cmd.AddCommand(hubRunCommand(version), hubTokenCommand(), hubAuditCommand(), hubOpenAPICommand(version))
	return cmd
}

// records are the flags that say where a hub's records are.
type records struct{ database, dataDir string }

func (r *records) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&r.dataDir, "data-dir", "palette-hub", "directory of the hub's own files")
	cmd.PersistentFlags().StringVar(&r.database, "database", "",
		"PostgreSQL database, postgres://... ($PALETTE_HUB_DATABASE); without it the records are a file in the data directory")
}

// url is the database's URL. It may hold a password, and the environment shows it to fewer than a command line does.
func (r *records) url() string {
	if r.database != "" {
		return r.database
	}
	return os.Getenv("PALETTE_HUB_DATABASE")
}

// use opens the records of a hub for as long as the function runs.
func (r *records) use(ctx context.Context, do func(store.Database) error) error {
	db, err := service.OpenExistingRecords(ctx, r.url(), r.dataDir)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

const (
	// systemCloseLimit is how long the gateway beside a hub may take to stop.
	systemCloseLimit = 10 * time.Second

	hubRunLong = `Run a hub: one HTTPS port with the REST API under /v1, the tunnels of gateways, /healthz, /readyz and /metrics.

Records are kept in SQLite in the data directory, or, for several hubs side by side, in PostgreSQL. The certificate is read
from --tls-cert and --tls-key and read again when the files change; without them a self-signed one is made for trying out.

/metrics asks for a token that is good for all projects ("hub token create --all-projects"); --metrics-listen opens a
port of its own that asks for nothing.`
)

func hubRunCommand(version string) *cobra.Command {
	var where records
	var level string
	var system bool
	var proxies []string
	cfg := service.Config{Version: version}
	cmd := &cobra.Command{
		Use: "run", Short: "Run a hub", Long: hubRunLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := daemonLog(cmd.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			cfg.Log, cfg.Out = log, cmd.OutOrStdout()
			cfg.DataDir, cfg.Database = where.dataDir, where.url()
			if cfg.Proxies, err = access.ParseProxies(proxies...); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runHub(ctx, cfg, system)
		},
	}
	where.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&cfg.Listen, "listen", ":8443", "address to listen on")
	flags.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM file with the hub's certificate, and those between it and its CA")
	flags.StringVar(&cfg.TLSKey, "tls-key", "", "PEM file with the certificate's key")
	flags.BoolVar(&cfg.PlainHTTP, "plain-http", false, "serve without TLS; for a proxy on the same machine or network that has it")
	flags.StringVar(&cfg.SecretFile, "secret-file", "",
		"file with 32 random bytes that encrypt what the hub keeps secret; made if missing; hubs with one database share it")
	flags.StringVar(&cfg.AdvertiseURL, "advertise-url", "",
		"URL by which gateways reach this very hub, where it is one of several behind a common name")
	flags.StringVar(&cfg.OIDCConfig, "oidc-config", "", "YAML or JSON file that says which workload identities are let in")
	flags.StringVar(&cfg.MetricsListen, "metrics-listen", "", "address of a port for /metrics alone, without authentication")
	flags.StringSliceVar(&proxies, "trust-proxy", nil, "address or prefix of a proxy whose X-Forwarded-For is believed")
	flags.BoolVar(&system, "system-gateway", false, "run a gateway inside the hub, for vCenters that it reaches itself")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// thrifty is the garbage collector's target of a hub. Most of what it holds are the idle connections of its gateways: half of
// the usual room for garbage costs it little time.
const thrifty = 50

// runHub runs a hub until the context ends, with a gateway beside it if that is wanted.
func runHub(ctx context.Context, cfg service.Config, system bool) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(thrifty)
	}
	if system {
		beside, err := embedded.OpenSystem(cfg.DataDir, cfg.Version, cfg.Log)
		if err != nil {
			return err
		}
		cfg.System = &service.System{ID: beside.ID(), Transport: beside.Transport()}
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), systemCloseLimit)
			defer cancel()
			err = errors.Join(err, beside.Close(closing))
		}()
	}
	return service.Run(ctx, cfg)
}

// daemonLog writes JSON lines.
func daemonLog(w io.Writer, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, fmt.Errorf("there is no log level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}

func hubAuditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "See to the audit log"}
	var where records
	where.flags(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "verify", Short: "Verify that no entry of the audit log was changed or removed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.use(cmd.Context(), func(db store.Database) error {
				if err := store.VerifyAudit(cmd.Context(), db); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "The audit log is as it was written.")
				return err
			})
		},
	})
	return cmd
}

func hubOpenAPICommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the OpenAPI document of the REST API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := openapi.Document(version)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(document)
			return err
		},
	}
}
