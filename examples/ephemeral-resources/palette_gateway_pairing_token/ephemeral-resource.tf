# A token that is in no state, for something that takes it as an ephemeral value, such as a write-only attribute.
ephemeral "palette_gateway_pairing_token" "north" {
  gateway_id = palette_gateway.north.id
  ttl        = "30m"
}
