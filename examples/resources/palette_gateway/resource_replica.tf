# Another trigger makes another token, for a second replica. The first one stays paired and works on.
resource "palette_gateway" "south" {
  name            = "south"
  pairing_trigger = "replica-2"
  pairing_ttl     = "24h"
}
