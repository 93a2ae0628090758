# A gateway makes itself known with its token. Nothing here waits for it, so that what starts it can use the token.
resource "palette_gateway" "north" {
  name   = "north"
  labels = { site = "north", tier = "prod" }
}

# What a machine boots with to become the gateway: user data for cloud-init, for whatever makes the machine.
output "gateway_user_data" {
  value     = palette_gateway.north.install.cloud_init
  sensitive = true
}
