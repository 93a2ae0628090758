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

# The gateway that was paired in the private network. Nothing here reaches the vCenter: the gateway does.
data "palette_gateway" "north" {
  name                = "north"
  wait_for_connection = true
}

resource "palette_cloud_account" "this" {
  name                = var.cluster_name
  gateway_id          = data.palette_gateway.north.id
  vcenter             = var.vcenter
  username            = var.vcenter_username
  password_wo         = var.vcenter_password
  password_wo_version = 1
  ca_certificate      = var.vcenter_ca_file == null ? null : file(var.vcenter_ca_file)

  verify = {
    datacenter      = var.datacenter
    compute_cluster = var.compute_cluster
  }
}

data "palette_templates" "kube" {
  cloud_account_id   = palette_cloud_account.this.id
  datacenter         = var.datacenter
  kubernetes_version = var.kubernetes_version
}

locals {
  # A template that linked clones can be made from.
  template = [for t in data.palette_templates.kube.templates : t.name if t.snapshot != null][0]

  placement = {
    compute_cluster = var.compute_cluster
    datastore       = var.datastore
    networks        = [var.network]
    ip_pool_id      = palette_ip_pool.nodes.id
  }
}

resource "palette_ip_pool" "nodes" {
  name         = "${var.cluster_name}-nodes"
  gateway_id   = data.palette_gateway.north.id
  ranges       = [{ start = var.subnet.first, end = var.subnet.last }]
  prefix       = var.subnet.prefix
  gateway      = var.subnet.gateway
  name_servers = var.subnet.name_servers
}

resource "palette_vmware_cluster" "this" {
  name               = var.cluster_name
  cloud_account_id   = palette_cloud_account.this.id
  kubernetes_version = var.kubernetes_version
  datacenter         = var.datacenter
  template           = local.template

  control_plane_endpoint = { host = var.endpoint }

  control_plane = {
    count      = 1
    cpu        = 2
    memory_mib = 4096
    disk_gib   = 20
    placements = [local.placement]
  }

  worker_pools = {
    general = {
      count      = var.workers
      cpu        = 4
      memory_mib = 8192
      disk_gib   = 20
      placements = [local.placement]
    }
  }

  # A first try is there to be thrown away. Leave this out for a cluster that people use.
  deletion_protection = false
}
