package cli

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const gatewayLong = `A gateway stands in a private network, next to the vCenter. It dials out to a hub and does there what
Terraform asks the hub for; nothing has to be able to reach it.

  gateway pair   makes this machine a replica of a gateway, once
  gateway run    is that replica`

func gatewayCommand(version string) *cobra.Command {
	cmd := &cobra.Command{Use: "gateway", Short: "Run a gateway in a private network", Long: gatewayLong}
	cmd.AddCommand(
		gatewayPairCommand(version), gatewayRunCommand(version), gatewayStatusCommand(version), gatewayBundleCommand(version),
		gatewayInstallCommand(version), gatewayRecoveryKeyCommand(), gatewayRotateKeyCommand(),
	)
	return cmd
}

func dataDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", cmp.Or(os.Getenv("PALETTE_GATEWAY_DATA_DIR"), agent.DefaultDataDir),
		"directory of the gateway's identity ($PALETTE_GATEWAY_DATA_DIR)")
}

// EnvPairingToken is the variable that a pairing token can be in: a command line is seen by everybody on the machine.
const EnvPairingToken = "PALETTE_PAIRING_TOKEN"

const gatewayPairLong = `Make this machine a replica of a gateway.

The pairing token comes from palette_gateway in Terraform. It is good for one process and, by default, for an hour. It is
read from --token, from a file with --token-file, from standard input with --token-file -, or from $PALETTE_PAIRING_TOKEN.
What the gateway needs from then on is kept in the data directory, which only its owner may enter; the token is forgotten.`

func gatewayPairCommand(version string) *cobra.Command {
	cfg := agent.PairConfig{Version: version}
	var token, tokenFile, caFile, recoveryFile string
	var ifNeeded bool
	cmd := &cobra.Command{
		Use: "pair", Short: "Make this machine a replica of a gateway", Long: gatewayPairLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if ifNeeded && agent.IsPaired(cfg.DataDir) {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "Paired already.")
				return err
			}
			if cfg.Hub == "" {
				return errors.New("where is the hub? Give --hub or $PALETTE_HUB")
			}
			if cfg.Token, err = pairingToken(token, tokenFile, cmd.InOrStdin()); err != nil {
				return err
			}
			if cfg.OuterCA, err = readOptional(caFile); err != nil {
				return err
			}
			if cfg.Recovery, err = readRecoveryKey(recoveryFile); err != nil {
				return err
			}
			if cfg.Name == "" {
				if cfg.Name, err = os.Hostname(); err != nil {
					return fmt.Errorf("finding a name for the replica: %w", err)
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			paired, err := agent.Pair(ctx, cfg)
			if err != nil {
				return err
			}
			return printPaired(cmd.OutOrStdout(), paired, cfg.DataDir)
		},
	}
	dataDirFlag(cmd, &cfg.DataDir)
	flags := cmd.Flags()
	flags.StringVar(&cfg.Hub, "hub", os.Getenv("PALETTE_HUB"), "URL of the hub, https://hub.example.com ($PALETTE_HUB)")
	flags.StringVar(&token, "token", "", "pairing token; better in a file or in $"+EnvPairingToken)
	flags.StringVar(&tokenFile, "token-file", "", "file with the pairing token; - is standard input")
	flags.StringVar(&cfg.Name, "name", "", "what people know this replica by (default: the host's name)")
	flags.StringVar(&caFile, "ca-file", "", "PEM file with the authorities that the hub's URL is believed by, instead of the system's")
	flags.StringVar(&cfg.Proxy, "proxy", "", "proxy to the hub, http://user:password@proxy:3128 (default: $HTTPS_PROXY)")
	flags.StringVar(&recoveryFile, "recovery-key-file", "", "the organisation's recovery key, for a gateway whose replicas are all lost")
	flags.BoolVar(&ifNeeded, "if-needed", false, "do nothing when there is an identity in the data directory")
	flags.BoolVar(&cfg.Replace, "replace", false, "forget the identity that is in the data directory")
	return cmd
}

// pairingToken finds the token.
func pairingToken(token, file string, stdin io.Reader) (string, error) {
	switch {
	case token != "" && file != "":
		return "", errors.New("give the pairing token once: --token or --token-file")
	case token == "-", file == "-":
		text, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		if err != nil {
			return "", fmt.Errorf("reading the pairing token: %w", err)
		}
		return string(text), nil
	case file != "":
		return readOptional(file)
	}
	if token = cmp.Or(token, os.Getenv(EnvPairingToken)); token == "" {
		return "", errors.New("there is no pairing token: give --token-file, --token or $" + EnvPairingToken)
	}
	return token, nil
}

func readOptional(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

func printPaired(w io.Writer, p agent.Paired, dir string) error {
	recoverable := "no"
	if p.Recoverable {
		recoverable = "yes, with the organisation's recovery key"
	}
	_, err := fmt.Fprintf(w, `Paired.
  gateway      %s (%s, project %s)
  replica      %s
  key          %s
  recoverable  %s
  identity in  %s

Compare the key with what Terraform shows, then run: terraform-provider-palette gateway run --data-dir %s
`, p.GatewayName, p.Gateway, p.Project, p.Replica, p.Fingerprint, recoverable, dir, dir)
	return err
}

const gatewayRunLong = `Run a gateway that has been paired. It dials out to the hub, through $HTTPS_PROXY if that is set, and comes back by
itself whenever it is cut off. It needs no open port. SIGTERM lets it finish what it is answering and leave its vCenters.

The policy file, YAML or JSON, narrows what the gateway does, whatever the hub asks:

  vcenters: [vcenter.example.com]      # work with no others
  allow_cidrs: [10.20.0.0/16]          # connect to no other networks
  deny_cidrs: [10.20.99.0/24]
  read_only: false                     # true: read and preview only

Without one, it connects to any vCenter that is not at a loopback, link-local, multicast or unspecified address.`

func gatewayRunCommand(version string) *cobra.Command {
	cfg := agent.Config{Version: version}
	var policyFile, level, caFile string
	cmd := &cobra.Command{
		Use: "run", Short: "Run a gateway that has been paired", Long: gatewayRunLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Policy, err = readPolicy(policyFile); err != nil {
				return err
			}
			if cfg.OuterCA, err = readOptional(caFile); err != nil {
				return err
			}
			if cfg.Log, cfg.Recent, err = gatewayLog(cmd.ErrOrStderr(), level); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return agent.Run(ctx, cfg)
		},
	}
	dataDirFlag(cmd, &cfg.DataDir)
	flags := cmd.Flags()
	flags.StringVar(&cfg.Hub, "hub", os.Getenv("PALETTE_HUB"), "URL of the hub, where it has changed since the pairing ($PALETTE_HUB)")
	flags.StringVar(&caFile, "ca-file", "", "PEM file with the authorities that the hub's URL is believed by, where they have changed")
	flags.StringVar(&cfg.Proxy, "proxy", "", "proxy to the hub, where it has changed")
	flags.StringVar(&policyFile, "policy", os.Getenv("PALETTE_GATEWAY_POLICY"), "policy file ($PALETTE_GATEWAY_POLICY)")
	flags.StringVar(&cfg.Listen, "health-listen", "127.0.0.1:9808", `address of /healthz, /readyz and /metrics; "" is none`)
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func readPolicy(path string) (*policy.Policy, error) {
	text, err := readOptional(path)
	if err != nil {
		return nil, err
	}
	return policy.Parse([]byte(text))
}

// gatewayLog writes JSON lines, and remembers the last of them for the support bundle.
func gatewayLog(w io.Writer, level string) (*slog.Logger, *agent.Recent, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		return nil, nil, fmt.Errorf("there is no log level %q: want debug, info, warn or error", level)
	}
	recent := &agent.Recent{}
	return slog.New(slog.NewJSONHandler(io.MultiWriter(w, recent), &slog.HandlerOptions{Level: least})), recent, nil
}

func readRecoveryKey(path string) (*seal.PrivateKey, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// What exactly is wrong with it is left out: it may be anybody's secret.
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s holds no recovery key", path)
	}
	key, err := seal.ParsePrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s does not hold the private half of a recovery key, the file that gateway recovery-key new wrote", path)
	}
	return key, nil
}

func gatewayRecoveryKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recovery-key", Short: "See to the organisation's recovery key",
		Long: "With a recovery key, a gateway whose replicas are all lost can be made again and still opens what was sealed to it.",
	}
	var path string
	create := &cobra.Command{
		Use: "new", Short: "Make a recovery key and print its public half", Args: cobra.NoArgs,
		Long: "Writes the private key to a file, to be kept offline, and prints the public key: the recovery_key of palette_gateway.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := seal.NewPrivateKey()
			if err != nil {
				return err
			}
			private, err := key.Bytes()
			if err != nil {
				return err
			}
			if err := writeNew(path, []byte(base64.StdEncoding.EncodeToString(private)+"\n")); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), base64.StdEncoding.EncodeToString(key.PublicKey()))
			return err
		},
	}
	create.Flags().StringVarP(&path, "output", "o", "", "file for the private key, which must not exist")
	_ = create.MarkFlagRequired("output")
	cmd.AddCommand(create)
	return cmd
}

// writeNew writes a file that only its owner can read and that was not there before.
func writeNew(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(content))
	return errors.Join(err, file.Sync(), file.Close())
}

func gatewayStatusCommand(version string) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show who this gateway is and how it stands", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := agent.ReadStatus(cmd.Context(), dir, version)
			if err != nil {
				return err
			}
			return status.Print(cmd.OutOrStdout(), asJSON)
		},
	}
	dataDirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func gatewayBundleCommand(version string) *cobra.Command {
	var dir, path string
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Gather what helps to find a fault, without secrets", Args: cobra.NoArgs,
		Long: "Writes a tar.gz with the version, who the gateway is, how it stands, its last log lines, metrics and goroutines. " +
			"Keys, tokens, passwords and certificates are not in it; names of vCenters, clusters and machines are.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := agent.WriteBundle(cmd.Context(), dir, version, func(content []byte) error { return writeNew(path, content) }); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	dataDirFlag(cmd, &dir)
	cmd.Flags().StringVarP(&path, "output", "o", "palette-gateway-support.tar.gz", "file to write, which must not exist")
	return cmd
}
