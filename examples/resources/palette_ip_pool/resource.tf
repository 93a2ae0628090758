resource "palette_ip_pool" "k8s" {
  name = "k8s-120"

  ranges = [
    { start = "10.20.120.50", end = "10.20.120.99" },
  ]
  excluded = ["10.20.120.60", "10.20.120.70-10.20.120.74"]

  prefix         = 24
  gateway        = "10.20.120.1"
  name_servers   = ["10.20.0.53", "10.20.1.53"]
  search_domains = ["lab.example.com"]
}

# A whole subnet, here of IPv6. The gateway's own address is never leased.
resource "palette_ip_pool" "k8s_v6" {
  name         = "k8s-121-v6"
  subnet       = "2001:db8:121::/120"
  prefix       = 64
  gateway      = "2001:db8:121::1"
  name_servers = ["2001:db8::53"]
}
