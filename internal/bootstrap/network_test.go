package bootstrap_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

func ethernetOf(change func(*initEthernet)) initEthernet {
	var e initEthernet
	change(&e)
	return e
}

func TestMetadata(t *testing.T) {
	byMAC := func(mac string) func(*initEthernet) {
		return func(e *initEthernet) { e.Match.MACAddress = mac }
	}
	for _, tt := range []struct {
		reason     string
		network    cluster.Network
		interfaces []bootstrap.Interface
		wait       string
		want       map[string]initEthernet
	}{
		{
			reason:  "one card by DHCP is found by name, and clones of one machine-id get different leases",
			network: network4, interfaces: shapes[0].interfaces, wait: "ipv4",
			want: map[string]initEthernet{"id0": ethernetOf(func(e *initEthernet) {
				e.Match.Name, e.DHCP4, e.DHCPIdentifier = "e*", true, "mac"
			})},
		},
		{
			reason:  "a static address needs a route for its family and name servers",
			network: network4, interfaces: shapes[1].interfaces, wait: "ipv4",
			want: map[string]initEthernet{"id0": ethernetOf(func(e *initEthernet) {
				byMAC("00:50:56:01:02:03")(e)
				e.Addresses = []string{"10.0.0.21/24"}
				e.Routes = []initRoute{{To: "0.0.0.0/0", Via: "10.0.0.1"}}
				e.NameServers.Addresses = []string{"10.0.0.53", "10.0.1.53"}
				e.NameServers.Search = []string{"example.net"}
			})},
		},
		{
			reason:  "IPv6 has its own default route, here by a link-local gateway",
			network: network6, interfaces: shapes[2].interfaces, wait: "ipv6",
			want: map[string]initEthernet{"id0": ethernetOf(func(e *initEthernet) {
				e.Match.Name = "e*"
				e.Addresses = []string{"fd00::21/64"}
				e.Routes = []initRoute{{To: "::/0", Via: "fe80::1"}}
				e.NameServers.Addresses = []string{"fd00::53"}
			})},
		},
		{
			reason:  "of two cards the first has the default route; MACs are written in lower case",
			network: network4, interfaces: shapes[3].interfaces, wait: "ipv4",
			want: map[string]initEthernet{
				"id0": ethernetOf(func(e *initEthernet) {
					byMAC("00:50:56:01:02:03")(e)
					e.Addresses = []string{"10.0.0.21/24"}
					e.Routes = []initRoute{{To: "0.0.0.0/0", Via: "10.0.0.1"}}
				}),
				"id1": ethernetOf(func(e *initEthernet) {
					byMAC("00:50:56:3f:0a:0b")(e)
					e.DHCP4, e.DHCPIdentifier, e.DHCP4Overrides = true, "mac", map[string]int{"route-metric": 2048}
				}),
			},
		},
		{
			reason:     "DHCP in an IPv6 cluster is DHCPv6",
			network:    network6,
			interfaces: []bootstrap.Interface{{}}, wait: "ipv6",
			want: map[string]initEthernet{"id0": ethernetOf(func(e *initEthernet) {
				e.Match.Name, e.DHCP6, e.DHCPIdentifier = "e*", true, "mac"
			})},
		},
		{
			reason:     "DHCP in a dual-stack cluster is both, and the boot waits for the primary family",
			network:    cluster.Network{PodCIDR: "192.168.0.0/16,fd00:1::/56", ServiceCIDR: "10.96.0.0/12,fd00:2::/112"},
			interfaces: []bootstrap.Interface{{}}, wait: "ipv4",
			want: map[string]initEthernet{"id0": ethernetOf(func(e *initEthernet) {
				e.Match.Name, e.DHCP4, e.DHCP6, e.DHCPIdentifier = "e*", true, true, "mac"
			})},
		},
		{
			reason:  "a second card's own gateway ranks behind the first's",
			network: network4,
			interfaces: []bootstrap.Interface{{MAC: "00:50:56:01:02:03"}, {
				MAC: "00:50:56:01:02:04", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.5/16")},
				Gateway: netip.MustParseAddr("10.9.0.1"),
			}},
			wait: "ipv4",
			want: map[string]initEthernet{
				"id0": ethernetOf(func(e *initEthernet) {
					byMAC("00:50:56:01:02:03")(e)
					e.DHCP4, e.DHCPIdentifier = true, "mac"
				}),
				"id1": ethernetOf(func(e *initEthernet) {
					byMAC("00:50:56:01:02:04")(e)
					e.Addresses = []string{"10.9.0.5/16"}
					e.Routes = []initRoute{{To: "0.0.0.0/0", Via: "10.9.0.1", Metric: 2048}}
				}),
			},
		},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			m := machine(cluster.JoinWorker, "v1.34.1", shapes[0])
			m.Network, m.Interfaces = tt.network, tt.interfaces
			got := decode(t, m).meta
			want := initMetadata{
				InstanceID: m.InstanceUUID, LocalHostname: m.Name,
				Redact: []string{"userdata", "vendordata"}, WaitOnNetwork: map[string]bool{tt.wait: true},
			}
			want.Network.Version, want.Network.Ethernets = 2, tt.want
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNodeAddresses(t *testing.T) {
	dual := cluster.Network{PodCIDR: "fd00:1::/56,192.168.0.0/16", ServiceCIDR: "fd00:2::/112,10.96.0.0/12"}
	both := []bootstrap.Interface{{Addresses: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.21/24"), netip.MustParsePrefix("fd00::21/64"), netip.MustParsePrefix("fd00::22/64"),
	}}}
	for _, tt := range []struct {
		reason     string
		version    string
		network    cluster.Network
		interfaces []bootstrap.Interface
		nodeIP     string
		advertise  string
	}{
		{"IPv4 by DHCP is found by kubelet and kubeadm", "v1.34.1", network4, []bootstrap.Interface{{}}, "", ""},
		{"IPv6 by DHCP is asked for", "v1.34.1", network6, []bootstrap.Interface{{}}, "::", "::"},
		{"a node of a dual-stack cluster has both, in order", "v1.34.1", dual, both, "fd00::21,10.0.0.21", "fd00::21"},
		{"before 1.29 kubelet takes one", "v1.28.9", dual, both, "fd00::21", "fd00::21"},
		{"only the cluster's families count", "v1.34.1", network4, both, "10.0.0.21", "10.0.0.21"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			m := machine(cluster.JoinControlPlane, tt.version, shapes[0])
			m.Network, m.Interfaces = tt.network, tt.interfaces
			got := readEntry(t, documents(t, decode(t, m).files()[kubeadmPath]))
			if diff := cmp.Diff(tt.nodeIP, got.KubeletArgs["node-ip"]); diff != "" {
				t.Error("node-ip:", diff)
			}
			if diff := cmp.Diff(tt.advertise, got.API.AdvertiseAddress); diff != "" {
				t.Error("advertiseAddress:", diff)
			}
		})
	}
}
