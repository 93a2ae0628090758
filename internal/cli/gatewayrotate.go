package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
)

const gatewayRotateLong = `Make a new sealing key for the gateway, on the machine of any of its replicas.

The hub relays the new key to the other replicas, sealed to the old one, and shows it to Terraform once all that are
connected have it; one that is away learns it when it comes back. Nothing is interrupted. What was sealed to an older key is
still opened. Whoever has a copy of the old key and the hub on their side can follow: after a theft, make the gateway anew.`

func gatewayRotateKeyCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "rotate-key", Short: "Make a new sealing key for the gateway", Long: gatewayRotateLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rotated, err := agent.RotateKey(cmd.Context(), dir)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if _, err = fmt.Fprintf(out, "New key made.\n  key      %s\n  new key  %s\n\n", rotated.From, rotated.To); err != nil {
				return err
			}
			next := "It is in use within a minute, where the hub is reached: see gateway status."
			if !rotated.Running {
				next = "It is in use soon after the gateway is started."
			}
			if !rotated.Vouched {
				next += "\nTerraform asks for it to be accepted: accept_key_fingerprint = \"" + rotated.To + "\""
			}
			_, err = fmt.Fprintln(out, next)
			return err
		},
	}
	dataDirFlag(cmd, &dir)
	return cmd
}
