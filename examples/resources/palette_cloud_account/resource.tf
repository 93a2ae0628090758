variable "vcenter_password" {
  type      = string
  ephemeral = true
  sensitive = true
}

resource "palette_cloud_account" "lab" {
  name     = "lab"
  vcenter  = "vcenter.example.com"
  username = "automation@vsphere.local"

  # Write-only: never in the plan and never in the state. Raise the version to have a new password sent.
  password_wo         = var.vcenter_password
  password_wo_version = 1

  # Without ca_certificate and thumbprints, the system's certificate authorities are believed.
  thumbprints = [
    "8D:45:B2:11:0B:6E:43:5C:16:30:6C:98:4B:AA:91:25:DF:0A:33:C1:6D:5B:7E:F0:92:A4:1C:88:3E:57:29:64",
  ]

  # The privileges on these objects are checked before anything is built on them.
  verify = {
    datacenter       = "dc-north"
    compute_cluster  = "prod-a"
    datastore        = "vsan-prod"
    network          = "pg-k8s-120"
    folder           = "k8s"
    templates_folder = "templates"
  }
}
