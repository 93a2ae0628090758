# By name, or by id. No token comes with it: another pairing_trigger makes one.
terraform import palette_gateway.north north
