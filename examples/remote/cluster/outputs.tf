output "gateway" {
  description = "Who does the work next to the vCenter."
  value = {
    status   = data.palette_gateway.north.status
    replicas = [for r in data.palette_gateway.north.replicas : r.name]
  }
}

output "cluster" {
  description = "Where the cluster stands."
  value = {
    id    = palette_vmware_cluster.this.id
    phase = palette_vmware_cluster.this.phase
    ready = palette_vmware_cluster.this.ready
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
