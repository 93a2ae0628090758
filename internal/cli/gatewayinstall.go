package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/install"
)

// installTexts are what gateway install prints.
var installTexts = map[string]func(install.Options) string{
	"commands":   install.Commands,
	"container":  install.Container,
	"cloud-init": install.CloudInit,
	"kubernetes": install.Kubernetes,
	"systemd":    func(install.Options) string { return install.SystemdUnit() },
}

func gatewayInstallCommand(version string) *cobra.Command {
	o := install.Options{Version: version}
	var caFile string
	kinds := slices.Sorted(maps.Keys(installTexts))
	cmd := &cobra.Command{
		Use: "install " + strings.Join(kinds, "|"), Short: "Print how a gateway is installed",
		Long: "Prints commands for a shell, commands for a container, a cloud-init document, a Kubernetes manifest, or the systemd unit. " +
			"Terraform shows the same as install of palette_gateway.",
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: kinds,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Hub == "" && args[0] != "systemd" {
				return errors.New("where is the hub? Give --hub")
			}
			if o.CA, err = readOptional(caFile); err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), installTexts[args[0]](o))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Hub, "hub", "", "URL of the hub")
	flags.StringVar(&o.Name, "name", "gateway", "name of the gateway")
	flags.StringVar(&o.Binary, "binary-url", "", "where the program is fetched from (default: the hub)")
	flags.StringVar(&o.SHA256, "sha256", "", "digest of the program, in hex, to be checked")
	flags.StringVar(&o.Image, "image", "", "container image (default: that of the release)")
	flags.StringVar(&o.Proxy, "proxy", "", "proxy to the hub")
	flags.StringVar(&caFile, "ca-file", "", "PEM file with the authorities that the hub's URL is believed by")
	return cmd
}
