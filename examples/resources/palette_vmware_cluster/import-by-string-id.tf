import {
  to = palette_vmware_cluster.prod
  id = "prod"
}
