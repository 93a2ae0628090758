# By name, or by id.
terraform import palette_ip_pool.k8s k8s-120
