package bootstrap_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

func TestInvalidMachines(t *testing.T) {
	first := func(change func(*bootstrap.Interface)) func(*bootstrap.Machine) {
		return func(m *bootstrap.Machine) {
			nic := shapes[1].interfaces[0]
			change(&nic)
			m.Interfaces = []bootstrap.Interface{nic}
		}
	}
	for _, tt := range []struct {
		reason string
		change func(*bootstrap.Machine)
	}{
		{"no name", func(m *bootstrap.Machine) { m.Name = "" }},
		{"a name that is no host name", func(m *bootstrap.Machine) { m.Name = "a.b" }},
		{"no cluster", func(m *bootstrap.Machine) { m.ClusterName = "" }},
		{"no instance UUID", func(m *bootstrap.Machine) { m.InstanceUUID = "" }},
		{"unknown join mode", func(m *bootstrap.Machine) { m.Join = "join" }},
		{"version without v", func(m *bootstrap.Machine) { m.KubernetesVersion = "1.34.1" }},
		{"version without patch", func(m *bootstrap.Machine) { m.KubernetesVersion = "v1.34" }},
		{"no endpoint", func(m *bootstrap.Machine) { m.Endpoint = cluster.Endpoint{} }},
		{"endpoint with a space", func(m *bootstrap.Machine) { m.Endpoint.Host = "a b" }},
		{"unspecified endpoint", func(m *bootstrap.Machine) { m.Endpoint.Host = "0.0.0.0" }},
		{"endpoint with a zone", func(m *bootstrap.Machine) { m.Endpoint.Host = "fe80::1%eth0" }},
		{"port out of range", func(m *bootstrap.Machine) { m.Endpoint.Port = 65536 }},
		{"service CIDR", func(m *bootstrap.Machine) { m.Network.ServiceCIDR = "10.96.0.0" }},
		{"no cards", func(m *bootstrap.Machine) { m.Interfaces = nil }},
		{"two cards by name", func(m *bootstrap.Machine) { m.Interfaces = make([]bootstrap.Interface, 2) }},
		{"MAC", first(func(n *bootstrap.Interface) { n.MAC = "00:50:56" })},
		{"gateway elsewhere", first(func(n *bootstrap.Interface) { n.Gateway = netip.MustParseAddr("10.1.0.1") })},
		{"gateway with DHCP", first(func(n *bootstrap.Interface) { n.Addresses = nil })},
		{"empty address", first(func(n *bootstrap.Interface) { n.Addresses = make([]netip.Prefix, 1) })},
		{"empty name server", first(func(n *bootstrap.Interface) { n.NameServers = make([]netip.Addr, 1) })},
		{"an address of the wrong family", func(m *bootstrap.Machine) { m.Interfaces = shapes[2].interfaces }},
		{"an SSH key that is two", func(m *bootstrap.Machine) { m.SSHAuthorizedKeys = []string{"a\nb"} }},
		{"an empty NTP server", func(m *bootstrap.Machine) { m.NTPServers = []string{""} }},
		{"a label that ends kubelet's list", func(m *bootstrap.Machine) { m.Node.Labels = map[string]string{"a": "b,c=d"} }},
		{"a label key", func(m *bootstrap.Machine) { m.Node.Labels = map[string]string{"a b": "c"} }},
		{"a taint's effect", func(m *bootstrap.Machine) { m.Node.Taints[0].Effect = "Never" }},
		{"a taint's key", func(m *bootstrap.Machine) { m.Node.Taints[0].Key = "" }},
	} {
		m := machine(cluster.JoinInit, "v1.34.1", shapes[0])
		tt.change(&m)
		if got, err := bootstrap.Payload(m, fixedSecrets(t)); !errors.Is(err, bootstrap.ErrInvalid) || got != nil {
			t.Errorf("%s: got %v", tt.reason, err)
		}
	}
}

func TestUnusualMachines(t *testing.T) {
	for _, tt := range []struct {
		reason string
		change func(*bootstrap.Machine)
	}{
		{"a version with build metadata", func(m *bootstrap.Machine) { m.KubernetesVersion = "v1.34.1+vmware.2-fips.1" }},
		{"a release candidate", func(m *bootstrap.Machine) { m.KubernetesVersion = "v1.35.0-rc.1" }},
		{"no port", func(m *bootstrap.Machine) { m.Endpoint.Port = 0 }},
		{"kubeadm's own networks", func(m *bootstrap.Machine) { m.Network = cluster.Network{} }},
		{"no keys, no time servers, no metadata", func(m *bootstrap.Machine) {
			m.SSHAuthorizedKeys, m.NTPServers, m.Node = nil, nil, cluster.NodeMetadata{}
		}},
		{"an isolated network", func(m *bootstrap.Machine) {
			m.Interfaces = []bootstrap.Interface{{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.21/24")}}}
		}},
	} {
		m := machine(cluster.JoinInit, "v1.34.1", shapes[0])
		tt.change(&m)
		t.Run(tt.reason, func(t *testing.T) { documents(t, decode(t, m).files()[kubeadmPath]) })
	}
}

func TestSplitLabels(t *testing.T) {
	registered, deferred := bootstrap.SplitLabels(map[string]string{
		"tier": "web", "example.net/team": "a", "notkubernetes.io/x": "b",
		"topology.kubernetes.io/zone": "z1", "node.kubernetes.io/anything": "c", "sub.kubelet.kubernetes.io/x": "d",
		"node-role.kubernetes.io/worker": "", "node-restriction.kubernetes.io/x": "e",
		"k8s.io/x": "f", "kubernetes.io/x": "g",
	})
	wantRegistered := map[string]string{
		"tier": "web", "example.net/team": "a", "notkubernetes.io/x": "b",
		"topology.kubernetes.io/zone": "z1", "node.kubernetes.io/anything": "c", "sub.kubelet.kubernetes.io/x": "d",
	}
	wantDeferred := map[string]string{
		"node-role.kubernetes.io/worker": "", "node-restriction.kubernetes.io/x": "e",
		"k8s.io/x": "f", "kubernetes.io/x": "g",
	}
	if diff := cmp.Diff(wantRegistered, registered); diff != "" {
		t.Error("registered:", diff)
	}
	if diff := cmp.Diff(wantDeferred, deferred); diff != "" {
		t.Error("deferred:", diff)
	}
}
