data "palette_datacenters" "all" {
  cloud_account_id = palette_cloud_account.lab.id
}

output "datacenters" {
  value = data.palette_datacenters.all.datacenters[*].name
}
