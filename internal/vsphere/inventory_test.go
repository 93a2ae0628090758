package vsphere

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/simulator"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func TestInventoryCalls(t *testing.T) {
	view := []string{"CreateContainerView", "RetrievePropertiesEx", "DestroyView"}
	tests := map[inventory.Kind][]string{
		inventory.KindDatacenters:     view,
		inventory.KindComputeClusters: view,
		inventory.KindDatastores:      view,
		inventory.KindNetworks:        view,
		inventory.KindResourcePools:   view,
		inventory.KindFolders:         view,
		inventory.KindTemplates:       {"RetrievePropertiesEx", "RetrievePropertiesEx"},
	}
	for _, vms := range []int{10, 1200} {
		_, s := openKit(t, testkit.Options{VMs: vms})
		counted := countCalls(s)
		for kind, want := range tests {
			counted.reset()
			if _, err := s.Inventory(t.Context(), inventory.Query{Kind: kind}); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if diff := cmp.Diff(want, counted.seen()); diff != "" {
				t.Errorf("%s with %d VMs: calls: -want, +got:\n%s", kind, vms, diff)
			}
		}
	}
}

func TestInventoryNames(t *testing.T) {
	v := startSimulator(t, func(m *simulator.Model) { m.Datacenter, m.Cluster = 2, 2 })
	s := v.open(t)
	tests := map[string]struct {
		reason string
		query  inventory.Query
		near   []string
	}{
		"Unknown": {
			reason: "an unknown datacenter is an error with near names",
			query:  inventory.Query{Kind: inventory.KindDatastores, Datacenter: "DC9"},
			near:   []string{"DC0", "DC1"},
		},
		"UnknownPath": {
			reason: "a path gets paths",
			query:  inventory.Query{Kind: inventory.KindDatastores, ComputeCluster: "/DC0/host/DC0_C9"},
			near:   []string{"/DC0/host/DC0_C0", "/DC0/host/DC0_C1", "/DC0/host/DC0_H0", "/DC1/host/DC1_C0", "/DC1/host/DC1_C1"},
		},
		"Elsewhere": {
			reason: "a compute cluster of another datacenter is not in this one",
			query:  inventory.Query{Kind: inventory.KindNetworks, Datacenter: "DC0", ComputeCluster: "DC1_C0"},
			near:   []string{"DC0_C0", "DC0_C1", "DC0_H0"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.Inventory(t.Context(), tc.query)
			var missing *NotFoundError
			if !errors.As(err, &missing) {
				t.Fatalf("%s: got %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.near, missing.Near); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestVersionInName(t *testing.T) {
	tests := map[string]struct{ reason, name, want string }{
		"ImageBuilder": {"image-builder's form", "ubuntu-2404-kube-v1.34.1", "v1.34.1"},
		"NoV":          {"without the v", "kube-1.34.1-photon", "v1.34.1"},
		"OSVersion":    {"the operating system's version is not Kubernetes'", "ubuntu-24.04.1-kube-v1.33.0", "v1.33.0"},
		"OnlyOS":       {"no Kubernetes version at all", "ubuntu-24.04.1", ""},
		"Longer":       {"a longer number is another thing", "agent-1.2.3.4", ""},
		"None":         {"no number", "template", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, (&template{name: tc.name}).kubernetesVersion()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDecodeName(t *testing.T) {
	if diff := cmp.Diff(`a/b\c%`, decodeName("a%2fb%5Cc%25")); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	if strings.Contains(decodeName("%252f"), "/") {
		t.Error("an escaped percent sign was decoded twice")
	}
}
