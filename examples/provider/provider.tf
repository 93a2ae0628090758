terraform {
  required_version = ">= 1.11"

  required_providers {
    palette = {
      source = "terraform-provider-palette/palette"
    }
  }
}

# Embedded mode: no hub is needed where this machine reaches the vCenter itself. The directory holds the records and the
# gateway's key, and has to stay from run to run.
provider "palette" {
  data_dir = "./.palette"
}
