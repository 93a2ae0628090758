# By name, or by id. What only Terraform knows begins with its default: deletion_protection, on_create_timeout, timeouts.
terraform import palette_vmware_cluster.prod prod
