data "palette_gateways" "prod" {
  labels     = { tier = "prod" }
  name_regex = "^n"
}

output "prod_gateways" {
  value = { for g in data.palette_gateways.prod.gateways : g.name => g.status }
}
