# The least that makes a cluster: one control plane machine and two workers, with addresses from DHCP.
resource "palette_vmware_cluster" "dev" {
  name               = "dev"
  cloud_account_id   = palette_cloud_account.lab.id
  kubernetes_version = "v1.34.1"
  datacenter         = "dc-north"
  template           = "ubuntu-2404-kube-v1.34.1"

  control_plane_endpoint = { host = "10.20.120.10" }

  control_plane = {
    count      = 1
    cpu        = 2
    memory_mib = 4096
    disk_gib   = 20
    placements = [{ compute_cluster = "prod-a", datastore = "vsan-prod", networks = ["pg-k8s-120"] }]
  }

  worker_pools = {
    general = {
      count      = 2
      cpu        = 4
      memory_mib = 8192
      disk_gib   = 40
      placements = [{ compute_cluster = "prod-a", datastore = "vsan-prod", networks = ["pg-k8s-120"] }]
    }
  }
}
