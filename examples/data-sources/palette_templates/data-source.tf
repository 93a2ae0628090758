# Templates of one Kubernetes version, and those that linked clones can be made from.
data "palette_templates" "kube" {
  cloud_account_id   = palette_cloud_account.lab.id
  datacenter         = "dc-north"
  kubernetes_version = "v1.34.1"
}

output "linkable_templates" {
  value = [for template in data.palette_templates.kube.templates : template.name if template.snapshot != null]
}
