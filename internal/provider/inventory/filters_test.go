package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func at(path string) hubapi.InventoryObject {
	name := path
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			name = path[i+1:]
			break
		}
	}
	return hubapi.InventoryObject{Moid: "moid-" + name, Name: name, Path: path, Datacenter: "dc"}
}

// shows checks the names of what is shown, in order.
func shows[T any](t *testing.T, reason string, want []string, shown []T, of func(T) object) {
	t.Helper()
	got := []string{}
	for _, o := range shown {
		got = append(got, of(o).Name.ValueString())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\nfill(...): -want, +got:\n%s", reason, diff)
	}
}

// none is what no filter may make null: an empty list.
var none = []string{}

func TestDatastores(t *testing.T) {
	store := func(path, kind string, free int) hubapi.Datastore {
		return hubapi.Datastore{Object: at(path), Type: kind, FreeGiB: free}
	}
	all := &hubapi.Inventory{Datastores: []hubapi.Datastore{
		store("/dc/datastore/vsan", "vsan", 900),
		store("/dc/datastore/nfs", "NFS", 100),
		store("/dc/datastore/pod/vmfs-a", "VMFS", 500),
		store("/dc/datastore/pod/vmfs-b", "VMFS", 99),
	}}
	cases := map[string]struct {
		reason string
		model  datastoresModel
		want   []string
	}{
		"All": {reason: "Without filters all are shown, by path.", want: []string{"nfs", "vmfs-a", "vmfs-b", "vsan"}},
		"Name": {
			reason: "A name matches anywhere.",
			model:  datastoresModel{scope: scope{NameRegex: types.StringValue("vm|nf")}},
			want:   []string{"nfs", "vmfs-a", "vmfs-b"},
		},
		"Tied": {
			reason: "A name can be tied to its ends.",
			model:  datastoresModel{scope: scope{NameRegex: types.StringValue("^vmfs-a$")}},
			want:   []string{"vmfs-a"},
		},
		"Type": {
			reason: "A type fits in any case.",
			model:  datastoresModel{Type: types.StringValue("vmfs")},
			want:   []string{"vmfs-a", "vmfs-b"},
		},
		"Free": {
			reason: "The least free space is enough.",
			model:  datastoresModel{MinFreeGiB: types.Int64Value(100)},
			want:   []string{"nfs", "vmfs-a", "vsan"},
		},
		"Zero": {
			reason: "No least free space is none.",
			model:  datastoresModel{MinFreeGiB: types.Int64Value(0)},
			want:   []string{"nfs", "vmfs-a", "vmfs-b", "vsan"},
		},
		"Both": {
			reason: "Filters narrow together.",
			model:  datastoresModel{Type: types.StringValue("VMFS"), MinFreeGiB: types.Int64Value(100)},
			want:   []string{"vmfs-a"},
		},
		"None": {
			reason: "Nothing that fits is an empty list.",
			model:  datastoresModel{MinFreeGiB: types.Int64Value(1000)},
			want:   none,
		},
		"Regex": {
			reason: "An expression that does not compile passes nothing.",
			model:  datastoresModel{scope: scope{NameRegex: types.StringValue("(")}},
			want:   none,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.model.fill(all)
			shows(t, tc.reason, tc.want, tc.model.Datastores, func(d datastore) object { return d.object })
		})
	}
}

func TestNetworks(t *testing.T) {
	all := &hubapi.Inventory{Networks: []hubapi.Network{
		{Object: at("/dc/network/pg"), Kind: hubapi.NetworkDistributed, VLAN: "120", Switch: "dvs"},
		{Object: at("/dc/network/VM Network"), Kind: hubapi.NetworkStandard},
		{Object: at("/dc/network/nsx"), Kind: hubapi.NetworkNSX},
	}}
	cases := map[string]struct {
		reason string
		model  networksModel
		want   []string
	}{
		"All": {reason: "Without filters all are shown, by path.", want: []string{"VM Network", "nsx", "pg"}},
		"Kind": {
			reason: "Only the kind that is asked for.",
			model:  networksModel{Kind: types.StringValue("nsx")},
			want:   []string{"nsx"},
		},
		"None": {
			reason: "Nothing that fits is an empty list.",
			model:  networksModel{Kind: types.StringValue("opaque")},
			want:   none,
		},
		"Name": {
			reason: "A name matches.",
			model:  networksModel{scope: scope{NameRegex: types.StringValue("^pg")}},
			want:   []string{"pg"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.model.fill(all)
			shows(t, tc.reason, tc.want, tc.model.Networks, func(n network) object { return n.object })
		})
	}
}

func TestTemplates(t *testing.T) {
	all := &hubapi.Inventory{Templates: []hubapi.Template{
		{Object: at("/dc/vm/t/kube-1.34.1"), KubernetesVersion: "v1.34.1", Disks: []hubapi.Disk{{Key: 2000, CapacityGiB: 20}}},
		{Object: at("/dc/vm/t/kube-1.34.10"), KubernetesVersion: "v1.34.10"},
		{Object: at("/dc/vm/t/kube-1.3.0"), KubernetesVersion: "v1.3.0"},
		{Object: at("/dc/vm/t/windows")},
	}}
	cases := map[string]struct {
		reason  string
		version types.String
		want    []string
	}{
		"All": {
			reason:  "Without a version templates without Kubernetes are shown too.",
			version: types.StringNull(),
			want:    []string{"kube-1.3.0", "kube-1.34.1", "kube-1.34.10", "windows"},
		},
		"Full": {
			reason:  "A full version is no prefix.",
			version: types.StringValue("v1.34.1"),
			want:    []string{"kube-1.34.1"},
		},
		"Minor": {
			reason:  "A minor version has all its patch levels, and no other minor version.",
			version: types.StringValue("v1.3"),
			want:    []string{"kube-1.3.0"},
		},
		"Patches": {
			reason:  "All patch levels.",
			version: types.StringValue("v1.34"),
			want:    []string{"kube-1.34.1", "kube-1.34.10"},
		},
		"NoV": {
			reason:  "The leading v may be left out.",
			version: types.StringValue("1.34.1"),
			want:    []string{"kube-1.34.1"},
		},
		"None": {reason: "Nothing that fits is an empty list.", version: types.StringValue("v1.35"), want: none},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := templatesModel{KubernetesVersion: tc.version}
			m.fill(all)
			shows(t, tc.reason, tc.want, m.Templates, func(o template) object { return o.object })
		})
	}
}

// TestOrderIsStable checks that objects of the same path, as two of a name can be on different vCenters' network folders,
// come in one order whatever order they were read in.
func TestOrderIsStable(t *testing.T) {
	first, second := at("/dc/network/same"), at("/dc/network/same")
	first.Moid, second.Moid = "network-1", "network-2"
	for _, order := range [][]hubapi.Network{{{Object: first}, {Object: second}}, {{Object: second}, {Object: first}}} {
		var m networksModel
		m.fill(&hubapi.Inventory{Networks: order})
		got := []string{m.Networks[0].Moid.ValueString(), m.Networks[1].Moid.ValueString()}
		if diff := cmp.Diff([]string{"network-1", "network-2"}, got); diff != "" {
			t.Errorf("-want, +got:\n%s", diff)
		}
	}
}

// TestShownValues checks what is null, what is empty, and what is taken over.
func TestShownValues(t *testing.T) {
	var clusters computeClustersModel
	clusters.fill(&hubapi.Inventory{ComputeClusters: []hubapi.ComputeCluster{
		{
			Object: at("/dc/host/a"), Hosts: []string{"esx-2", "esx-1"}, HostsUsable: 1, CPUCores: 64, CPUMHz: 2, MemoryMiB: 3,
			DRSEnabled: true, Zone: "z",
		},
		{Object: at("/dc/host/b"), HAEnabled: true},
	}})
	object := func(name string) object {
		return object{
			Moid: types.StringValue("moid-" + name), Name: types.StringValue(name),
			Path: types.StringValue("/dc/host/" + name), Datacenter: types.StringValue("dc"),
		}
	}
	want := []computeCluster{
		{
			object: object("a"), Hosts: []string{"esx-1", "esx-2"}, HostsUsable: 1, CPUCores: 64, CPUMHz: 2, MemoryMiB: 3,
			DRSEnabled: true, Zone: types.StringValue("z"), Region: types.StringNull(),
		},
		{object: object("b"), Hosts: []string{}, HAEnabled: true, Zone: types.StringNull(), Region: types.StringNull()},
	}
	if diff := cmp.Diff(want, clusters.ComputeClusters, cmp.AllowUnexported(computeCluster{})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
