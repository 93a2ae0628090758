# A token that is in no state, for something that takes it as an ephemeral value, such as a write-only attribute.
ephemeral "palette_gateway_pairing_token" "north" {
  gateway_id    = palette_gateway.north.id
  pairing_token = palette_gateway.north.pairing_token
  ttl           = "30m"
}
