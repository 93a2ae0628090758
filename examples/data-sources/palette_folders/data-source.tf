data "palette_folders" "north" {
  cloud_account_id = palette_cloud_account.lab.id
  datacenter       = "dc-north"
  name_regex       = "^(k8s|templates)$"
}

output "folders" {
  value = data.palette_folders.north.folders[*].path
}
