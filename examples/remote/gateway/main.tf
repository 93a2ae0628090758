terraform {
  required_version = ">= 1.11"

  required_providers {
    palette = {
      source = "terraform-provider-palette/palette"
    }
  }
}

# PALETTE_ENDPOINT and PALETTE_TOKEN say where the hub is and who asks, PALETTE_CA_CERTIFICATE by whom the hub is believed.
provider "palette" {}

# The hub knows the gateway from now on, and nobody is it yet. The process that is paired with the token, in the private
# network, becomes it.
resource "palette_gateway" "north" {
  name   = "north"
  labels = { site = "north" }
}

output "gateway" {
  description = "The gateway."
  value = {
    id   = palette_gateway.north.id
    name = palette_gateway.north.name
    key  = palette_gateway.north.key_fingerprint
  }
}

output "pairing_token" {
  description = "Good once: terraform output -raw pairing_token | terraform-provider-palette gateway pair --token-file - ..."
  value       = palette_gateway.north.pairing_token
  sensitive   = true
}

output "install" {
  description = "For a shell of root on the gateway's machine: terraform output -raw install"
  value       = palette_gateway.north.install.commands
  sensitive   = true
}
