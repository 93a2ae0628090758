data "palette_resource_pools" "prod_a" {
  cloud_account_id = palette_cloud_account.lab.id
  datacenter       = "dc-north"
  compute_cluster  = "prod-a"
}

output "resource_pools" {
  value = data.palette_resource_pools.prod_a.resource_pools[*].path
}
