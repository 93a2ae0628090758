#!/usr/bin/env bash
# Generates docs/ from the provider's schema, templates/ and examples/. The schema is read through whatever command line
# scripts/cli.sh finds, so that nothing is downloaded; the pages do not depend on which one that is.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cli=$(scripts/cli.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go build -o "$work/bin/terraform-provider-palette" .
cat >"$work/cli.tfrc" <<EOF
provider_installation {
  dev_overrides { "terraform-provider-palette/palette" = "$work/bin" }
  direct {}
}
EOF
mkdir "$work/config"
cat >"$work/config/main.tf" <<'EOF'
terraform {
  required_providers {
    palette = { source = "terraform-provider-palette/palette" }
  }
}
EOF

# Terraform and OpenTofu put different registries before the name; the generator looks for the bare name.
TF_CLI_CONFIG_FILE=$work/cli.tfrc "$cli" -chdir="$work/config" providers schema -json |
	sed 's#"[^"]*/terraform-provider-palette/palette":#"palette":#' >"$work/schema.json"

go tool -modfile=tools/go.mod tfplugindocs generate --provider-name palette --rendered-provider-name Palette \
	--providers-schema "$work/schema.json"

# The document of the hub's API is made from the routes and types themselves.
"$work/bin/terraform-provider-palette" hub openapi >docs/openapi.json
