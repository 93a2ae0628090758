# Datastores with room that every host of a compute cluster can use.
data "palette_datastores" "fit" {
  cloud_account_id = palette_cloud_account.lab.id
  datacenter       = "dc-north"
  accessible_from  = "prod-a"
  min_free_gib     = 500
}

locals {
  most_free = max(data.palette_datastores.fit.datastores[*].free_gib...)
}

output "emptiest_datastore" {
  value = one([for datastore in data.palette_datastores.fit.datastores :
  datastore.name if datastore.free_gib == local.most_free])
}
