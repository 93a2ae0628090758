# Everything set: static addresses, two zones, labels and taints, and bounds for rolling replacements.
locals {
  # Machines spread over the entries of a pool's placements.
  zones = [for cluster in ["prod-a", "prod-b"] : {
    compute_cluster = cluster
    datastore       = "vsan-prod"
    networks        = ["pg-k8s-120"]
    ip_pool_id      = palette_ip_pool.k8s.id
  }]
}

resource "palette_vmware_cluster" "prod" {
  name               = "prod"
  cloud_account_id   = palette_cloud_account.lab.id
  kubernetes_version = "v1.34.1"
  datacenter         = "dc-north"
  folder             = "k8s/prod"
  template           = "ubuntu-2404-kube-v1.34.1"
  clone_mode         = "auto"

  control_plane_endpoint = {
    host = "10.20.120.11"
    port = 6443
  }

  cluster_network = {
    pod_cidr     = "10.244.0.0/16"
    service_cidr = "10.96.0.0/12"
    dns_domain   = "cluster.local"
  }

  ssh_authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKl5qM0bmYQf1sA1wV3yqU5eN7tJ0c5mB6nO8pR2dXyZ ops@example.com"]
  ntp_servers         = ["ntp1.example.com", "ntp2.example.com"]

  control_plane = {
    count      = 3
    cpu        = 4
    memory_mib = 8192
    disk_gib   = 20
    placements = local.zones
  }

  worker_pools = {
    general = {
      count      = 4
      cpu        = 8
      memory_mib = 16384
      disk_gib   = 20
      labels     = { "example.com/tier" = "general" }
      placements = local.zones

      # Two new machines at a time, before old ones go.
      update_strategy = { max_surge = 2, max_unavailable = 0 }
    }

    batch = {
      count       = 1
      cpu         = 16
      memory_mib  = 65536
      disk_gib    = 20
      labels      = { "example.com/tier" = "batch" }
      annotations = { "example.com/owner" = "data-platform" }
      taints      = [{ key = "example.com/batch", value = "true", effect = "NoSchedule" }]
      placements = [{
        compute_cluster = "prod-a"
        resource_pool   = "k8s/batch"
        datastore       = "vmfs-a"
        networks        = ["pg-k8s-120", "pg-k8s-121"]
        ip_pool_id      = palette_ip_pool.k8s.id
      }]

      # No spare capacity: an old machine goes before the new one comes.
      update_strategy = { max_surge = 0, max_unavailable = 1 }
    }
  }

  deletion_protection = true
  on_create_timeout   = "resume"

  timeouts = {
    create = "60m"
    update = "2h"
    delete = "30m"
  }
}

# What the last plan was going to do, line by line.
output "prod_planned_operations" {
  value = palette_vmware_cluster.prod.planned_operations
}
