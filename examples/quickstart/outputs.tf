output "cluster" {
  description = "Where the cluster stands."
  value = {
    id       = palette_vmware_cluster.this.id
    phase    = palette_vmware_cluster.this.phase
    ready    = palette_vmware_cluster.this.ready
    endpoint = "https://${palette_vmware_cluster.this.control_plane_endpoint.host}:${palette_vmware_cluster.this.control_plane_endpoint.port}"
  }
}

output "chosen" {
  description = "What the data sources found."
  value = {
    datastore = local.datastore
    network   = local.network
    template  = local.template
  }
}

output "machines" {
  description = "The machines as a table: terraform output -raw machines"
  value = join("\n", concat(
    [format("%-28s %-14s %-16s %-22s %-10s %s", "MACHINE", "POOL", "ADDRESS", "HOST", "VERSION", "STATE")],
    [for m in palette_vmware_cluster.this.machines : format("%-28s %-14s %-16s %-22s %-10s %s",
    m.name, m.pool, join(",", m.addresses), m.host, m.version, m.state)],
  ))
}

output "planned_operations" {
  description = "What the last plan was going to do."
  value       = palette_vmware_cluster.this.planned_operations
}
