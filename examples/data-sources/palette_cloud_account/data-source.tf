# An account that another configuration made.
data "palette_cloud_account" "lab" {
  name = "lab"
}

output "vcenter" {
  value = "${data.palette_cloud_account.lab.vcenter}, version ${data.palette_cloud_account.lab.vcenter_version}"
}
