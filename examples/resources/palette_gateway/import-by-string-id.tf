import {
  to = palette_gateway.north
  id = "north"
}
