terraform {
  required_version = ">= 1.11"

  required_providers {
    palette = {
      source = "terraform-provider-palette/palette"
    }
  }
}

# No endpoint: hub and gateway run inside the provider. PALETTE_DATA_DIR says where their records are.
provider "palette" {}

resource "palette_cloud_account" "this" {
  name                = var.cluster_name
  vcenter             = var.vcenter
  username            = var.vcenter_username
  password_wo         = var.vcenter_password
  password_wo_version = 1
  ca_certificate      = var.vcenter_ca_file == null ? null : file(var.vcenter_ca_file)

  # Privileges are checked here and now, not 20 minutes into a build.
  verify = {
    datacenter      = var.datacenter
    compute_cluster = var.compute_cluster
  }
}

# What the vCenter has, and what fits.

data "palette_datastores" "fit" {
  cloud_account_id = palette_cloud_account.this.id
  datacenter       = var.datacenter
  accessible_from  = var.compute_cluster
  min_free_gib     = 200
}

data "palette_networks" "distributed" {
  cloud_account_id = palette_cloud_account.this.id
  datacenter       = var.datacenter
  kind             = "distributed"
}

data "palette_templates" "kube" {
  cloud_account_id   = palette_cloud_account.this.id
  datacenter         = var.datacenter
  kubernetes_version = var.kubernetes_version

  lifecycle {
    postcondition {
      condition     = anytrue([for t in self.templates : t.snapshot != null])
      error_message = "No template with a snapshot in ${var.datacenter} carries Kubernetes ${var.kubernetes_version}."
    }
  }
}

locals {
  # The datastore with the most room, the port group of the VLAN, and a template that linked clones can be made from.
  most_free = max(data.palette_datastores.fit.datastores[*].free_gib...)
  datastore = [for d in data.palette_datastores.fit.datastores : d.name if d.free_gib == local.most_free][0]
  network   = one([for n in data.palette_networks.distributed.networks : n.name if n.vlan == var.vlan])
  template  = [for t in data.palette_templates.kube.templates : t.name if t.snapshot != null][0]

  placement = {
    compute_cluster = var.compute_cluster
    datastore       = local.datastore
    networks        = [local.network]
    ip_pool_id      = palette_ip_pool.nodes.id
  }
}

resource "palette_ip_pool" "nodes" {
  name         = "${var.cluster_name}-nodes"
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
      labels     = { "example.com/tier" = "general" }
      placements = [local.placement]
    }
  }

  # A first try is there to be thrown away. Leave this out for a cluster that people use.
  deletion_protection = false
}
