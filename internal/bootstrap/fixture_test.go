package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// born is when the secrets in testdata were made.
var born = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fixedSecrets reads throw-away secrets, so that payloads can be compared with golden files.
func fixedSecrets(t testing.TB) bootstrap.Secrets {
	t.Helper()
	data, err := os.ReadFile("testdata/secrets.json")
	if err != nil {
		t.Fatal(err)
	}
	var s bootstrap.Secrets
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	joins    = []cluster.JoinMode{cluster.JoinInit, cluster.JoinControlPlane, cluster.JoinWorker}
	versions = []string{"v1.30.5", "v1.31.2", "v1.34.1", "v1.36.3"}
)

// shape is one way to attach a machine to its network.
type shape struct {
	name       string
	endpoint   cluster.Endpoint
	network    cluster.Network
	interfaces []bootstrap.Interface
}

var (
	network4 = cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"}
	network6 = cluster.Network{PodCIDR: "fd00:1::/56", ServiceCIDR: "fd00:2::/112", DNSDomain: "cluster.local"}
)

var shapes = []shape{
	{
		name:       "dhcp",
		endpoint:   cluster.Endpoint{Host: "10.0.0.10", Port: 6443},
		network:    network4,
		interfaces: []bootstrap.Interface{{}},
	},
	{
		name:     "static",
		endpoint: cluster.Endpoint{Host: "10.0.0.10", Port: 6443},
		network:  network4,
		interfaces: []bootstrap.Interface{{
			MAC:           "00:50:56:01:02:03",
			Addresses:     []netip.Prefix{netip.MustParsePrefix("10.0.0.21/24")},
			Gateway:       netip.MustParseAddr("10.0.0.1"),
			NameServers:   []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("10.0.1.53")},
			SearchDomains: []string{"example.net"},
		}},
	},
	{
		name:     "ipv6",
		endpoint: cluster.Endpoint{Host: "fd00::10", Port: 8443},
		network:  network6,
		interfaces: []bootstrap.Interface{{
			Addresses:   []netip.Prefix{netip.MustParsePrefix("fd00::21/64")},
			Gateway:     netip.MustParseAddr("fe80::1"),
			NameServers: []netip.Addr{netip.MustParseAddr("fd00::53")},
		}},
	},
	{
		name:     "two-cards",
		endpoint: cluster.Endpoint{Host: "api.prod.example.net", Port: 443},
		network:  network4,
		interfaces: []bootstrap.Interface{
			{
				MAC:       "00:50:56:01:02:03",
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.21/24")},
				Gateway:   netip.MustParseAddr("10.0.0.1"),
			},
			{MAC: "00:50:56:3F:0A:0B"},
		},
	},
}

func machine(join cluster.JoinMode, version string, s shape) bootstrap.Machine {
	name, labels := "prod-general-0", map[string]string{"tier": "general", "node.kubernetes.io/pool": "general"}
	if join != cluster.JoinWorker {
		name, labels = "prod-cp-0", nil
	}
	return bootstrap.Machine{
		ClusterName:       "prod",
		Name:              name,
		InstanceUUID:      "0b5f7f0e-6a60-5a0e-9a52-0f7f4c3c2f11",
		Join:              join,
		KubernetesVersion: version,
		Endpoint:          s.endpoint,
		Network:           s.network,
		SSHAuthorizedKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZWQgb25seSBieSB0ZXN0cyEhISEhISEhISEh ops"},
		NTPServers:        []string{"ntp.example.net", "10.0.0.123"},
		Node: cluster.NodeMetadata{
			Labels:      labels,
			Taints:      []cluster.Taint{{Key: "dedicated", Value: "general", Effect: "NoSchedule"}},
			Annotations: map[string]string{"example.net/owner": "ops"},
		},
		Interfaces: s.interfaces,
	}
}

// kinds calls test for each kind of machine, as a subtest.
func kinds(t *testing.T, test func(t *testing.T, m bootstrap.Machine)) {
	t.Helper()
	for _, join := range joins {
		for _, version := range versions {
			for _, s := range shapes {
				t.Run(kindName(join, version, s.name), func(t *testing.T) { test(t, machine(join, version, s)) })
			}
		}
	}
}

func kindName(join cluster.JoinMode, version, shape string) string {
	return fmt.Sprintf("%s-%s-%s", join, version, shape)
}

// minor is the second number of a version, for expectations that depend on it.
func minor(t testing.TB, version string) int {
	t.Helper()
	var major, minor, patch int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatal(err)
	}
	return minor
}
