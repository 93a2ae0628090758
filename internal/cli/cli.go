// Package cli owns what the binary does when a person runs it, and how it begins when Terraform does.
package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/appliance/deployer"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
)

// Address is the provider's address in the registry.
const Address = "registry.terraform.io/terraform-provider-palette/palette"

// closeLimit is how long the embedded hub may take to stop. Terraform kills a plugin two seconds after asking it to end.
const closeLimit = 1500 * time.Millisecond

// Run is the whole program. Without arguments, or with -debug, it is the Terraform plugin.
func Run(ctx context.Context, version string, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "-debug" || args[0] == "--debug" {
		return servePlugin(ctx, version, args)
	}
	root := &cobra.Command{
		Use:           "terraform-provider-palette",
		Short:         "Kubernetes on private VMware vSphere, driven by Terraform",
		Long:          "Run by Terraform or OpenTofu, this is the provider palette. Run by a person, it has the commands below.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	})
	root.AddCommand(hubCommand(version), gatewayCommand(version))
	root.SetArgs(args)
	root.SetOut(out)
	return root.ExecuteContext(ctx)
}

func servePlugin(ctx context.Context, version string, args []string) error {
	flags := flag.NewFlagSet("terraform-provider-palette", flag.ContinueOnError)
	debug := flags.Bool("debug", false, "run so that a debugger can be attached, and print how Terraform reaches the provider")
	if err := flags.Parse(args); err != nil {
		return err
	}
	hub := embedded.New(version, pluginLog(os.Stderr, os.Getenv))
	open := func(_ context.Context, dataDir string) (http.RoundTripper, error) { return hub.Transport(dataDir) }
	palette := provider.New(version, open, provider.WithDeployer(deployer.New(version)))
	err := providerserver.Serve(ctx, palette, providerserver.ServeOpts{Address: Address, Debug: *debug})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if closeErr := hub.Close(closing); err == nil && closeErr != nil {
		return fmt.Errorf("stopping the embedded hub: %w", closeErr)
	}
	return err
}
