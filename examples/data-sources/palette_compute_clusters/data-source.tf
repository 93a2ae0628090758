# The compute clusters of one zone that have DRS.
data "palette_compute_clusters" "prod" {
  cloud_account_id = palette_cloud_account.lab.id
  datacenter       = "dc-north"
  name_regex       = "^prod-"
}

output "zones" {
  value = {
    for cluster in data.palette_compute_clusters.prod.compute_clusters :
    cluster.name => cluster.zone if cluster.drs_enabled
  }
}
