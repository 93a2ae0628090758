# The gateway that somebody else runs, by name. Everything that uses it comes after it is online.
data "palette_gateway" "north" {
  name                = "north"
  wait_for_connection = false
}

output "gateway" {
  value = {
    status          = data.palette_gateway.north.status
    key_fingerprint = data.palette_gateway.north.key_fingerprint
  }
}
