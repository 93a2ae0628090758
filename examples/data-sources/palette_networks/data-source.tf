# The port group of a VLAN.
data "palette_networks" "distributed" {
  cloud_account_id = palette_cloud_account.lab.id
  datacenter       = "dc-north"
  kind             = "distributed"
}

output "vlan_120" {
  value = one([for network in data.palette_networks.distributed.networks : network.path if network.vlan == "120"])
}
