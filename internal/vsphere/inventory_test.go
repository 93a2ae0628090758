package vsphere

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

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
		"From": {
			reason: "an unknown compute cluster to reach datastores from is an error, no empty list",
			query:  inventory.Query{Kind: inventory.KindDatastores, Datacenter: "DC0", AccessibleFrom: "DC0_C9"},
			near:   []string{"DC0_C0", "DC0_C1", "DC0_H0"},
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

// TestAccessibleFrom checks which datastores a compute cluster reaches: accessible ones that all its hosts have mounted.
func TestAccessibleFrom(t *testing.T) {
	ref := func(kind, name string) types.ManagedObjectReference {
		return types.ManagedObjectReference{Type: kind, Value: name}
	}
	entity := func(kind, name, parent string, more props) object {
		more["name"], more["parent"] = name, ref(typeDatacenter, parent)
		return object{ref: ref(kind, name), props: more}
	}
	compute := func(name string, hosts ...string) object {
		refs := make([]types.ManagedObjectReference, len(hosts))
		for i, host := range hosts {
			refs[i] = ref(typeHost, host)
		}
		return entity(typeCluster, name, "dc", props{"host": types.ArrayOfManagedObjectReference{ManagedObjectReference: refs}})
	}
	store := func(name string, accessible bool, hosts ...string) object {
		mounts := make([]types.DatastoreHostMount, len(hosts))
		for i, host := range hosts {
			mounts[i].Key = ref(typeHost, host)
		}
		return entity(typeDatastore, name, "dc", props{
			"summary.accessible": accessible, "host": types.ArrayOfDatastoreHostMount{DatastoreHostMount: mounts},
		})
	}
	known := newTree([]object{
		{ref: ref(typeDatacenter, "dc"), props: props{"name": "dc"}},
		compute("a", "a1", "a2"), compute("extra-a", "x1"), compute("empty"),
		entity(typeHost, "a1", "dc", props{}), entity(typeHost, "a2", "dc", props{}), entity(typeHost, "x1", "dc", props{}),
		store("all", true, "a1", "a2", "x1"), store("half", true, "a1", "x1"), store("away", false, "a1", "a2"),
		store("lone", true, "a1", "a2"),
	})
	for name, tc := range map[string]struct {
		reason, from string
		want         []string
	}{
		"All":   {"any is a datastore that may be meant", "", []string{"all", "away", "half", "lone"}},
		"Name":  {"a name is the whole name", "a", []string{"all", "lone"}},
		"Path":  {"a path is as good", "/dc/extra-a", []string{"all", "half"}},
		"Empty": {"a compute cluster without hosts reaches nothing", "empty", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			narrow, err := known.scope(inventory.Query{AccessibleFrom: tc.from})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, d := range narrow.datastores(known) {
				got = append(got, d.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
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
