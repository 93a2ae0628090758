# A cluster that another configuration made.
data "palette_vmware_cluster" "dev" {
  name = "dev"
}

output "dev_addresses" {
  value = { for machine in data.palette_vmware_cluster.dev.machines : machine.name => machine.addresses }
}
