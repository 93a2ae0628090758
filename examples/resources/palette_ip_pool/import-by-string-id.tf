import {
  to = palette_ip_pool.k8s
  id = "k8s-120"
}
