// Terraform-provider-palette is the Terraform provider palette: Kubernetes on private VMware vSphere.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cli"
)

// version is set by the release build.
var version = "dev"

func main() {
	if err := cli.Run(context.Background(), version, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
