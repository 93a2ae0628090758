variable "vcenter_password" {
  type      = string
  ephemeral = true
  sensitive = true
}

# Where Terraform reaches the vCenter itself, the provider makes the gateway's VMs: three, on different hosts.
resource "palette_gateway" "site" {
  name = "site"

  appliance = {
    vcenter             = "vcenter.example.com"
    username            = "automation@vsphere.local"
    password_wo         = var.vcenter_password
    password_wo_version = 1

    datacenter      = "dc-north"
    compute_cluster = "prod-a"
    datastore       = "vsan-prod"
    network         = "pg-mgmt"
    template        = "ubuntu-2404-cloudimg"

    # Three for the replicas, and one for a successor that comes up beside the VM that it replaces.
    network_config = {
      addresses    = ["10.20.0.21/24", "10.20.0.22/24", "10.20.0.23/24", "10.20.0.24/24"]
      gateway      = "10.20.0.1"
      name_servers = ["10.20.0.2"]
    }

    proxy       = "http://proxy.example.com:3128"
    ntp_servers = ["ntp.example.com"]
    replicas    = 3
    cpu         = 2
    memory_mib  = 4096
  }
}
