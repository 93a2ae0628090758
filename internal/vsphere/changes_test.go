package vsphere

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func onlyMachine(t *testing.T, s *Session) cluster.Machine {
	t.Helper()
	_, machines, err := s.Machines(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	if len(machines) != 1 {
		t.Fatalf("got %d machines, want 1", len(machines))
	}
	return machines[0]
}

func TestCreateFolder(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	tests := []struct {
		reason, datacenter, folder string
		want                       []string
	}{
		{"missing parts, outermost first", "dc-north", "teams/red/prod", []string{
			"/dc-north/vm/teams", "/dc-north/vm/teams/red", "/dc-north/vm/teams/red/prod",
		}},
		{"again makes nothing", "dc-north", "teams/red/prod", nil},
		{"only what is missing", "dc-north", "/teams/blue/", []string{"/dc-north/vm/teams/blue"}},
		{"a full path", "/dc-south", "/dc-south/vm/x", []string{"/dc-south/vm/x"}},
	}
	for _, tc := range tests {
		got, err := s.CreateFolder(t.Context(), tc.datacenter, tc.folder)
		if err != nil {
			t.Fatalf("%s: %v", tc.reason, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
	}
	var missing *NotFoundError
	if _, err := s.CreateFolder(t.Context(), "dc-nort", "x"); !errors.As(err, &missing) || missing.Near[0] != "dc-north" {
		t.Errorf("a folder in a missing datacenter: %v, want dc-north near", err)
	}
}

func TestFolderRemadeBehindTheCache(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	if _, _, err := s.Machines(t.Context(), target()); err != nil {
		t.Fatal(err)
	}
	other := openSession(t, vc)
	if err := other.DeleteFolder(t.Context(), "/dc-north/vm/k8s/prod"); err != nil {
		t.Fatal(err)
	}
	facts, _, err := s.Machines(t.Context(), target())
	if err != nil || facts.Exists {
		t.Errorf("a folder that another session deleted: %+v, %v", facts, err)
	}
	mustFolder(t, other)
	mustClone(t, s, request(0))
	onlyMachine(t, s)
}

func TestReconfigure(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	id := r.Owner.Identity
	counted := countCalls(s)
	tests := []struct {
		reason   string
		change   Change
		cpu      int
		memory   int
		disk     int
		powerOff bool
	}{
		{"nothing differs", Change{CPU: 4, MemoryMiB: 8192, DiskGiB: 40}, 4, 8192, 40, false},
		{"the disk grows while the machine runs", Change{DiskGiB: 60}, 4, 8192, 60, false},
		{"CPU without hot-add needs a power cycle", Change{CPU: 8}, 8, 8192, 60, true},
		{"memory shrinks in a power cycle", Change{MemoryMiB: 4096}, 8, 4096, 60, true},
	}
	for _, tc := range tests {
		counted.reset()
		if err := s.Reconfigure(t.Context(), moid, id, tc.change); err != nil {
			t.Fatalf("%s: %v", tc.reason, err)
		}
		m := onlyMachine(t, s)
		got := []any{m.CPU, m.MemoryMiB, m.DiskGiB, m.PowerState}
		if diff := cmp.Diff([]any{tc.cpu, tc.memory, tc.disk, "poweredOn"}, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
		off := counted.count("PowerOffVM_Task")+counted.count("ShutdownGuest") > 0
		if off != tc.powerOff {
			t.Errorf("%s: powered off = %v, want %v", tc.reason, off, tc.powerOff)
		}
	}
	if err := s.Reconfigure(t.Context(), moid, id, Change{DiskGiB: 20}); err == nil {
		t.Error("a disk shrank without an error")
	}
	var foreign *ForeignVMError
	id.Ordinal = 7
	if err := s.Reconfigure(t.Context(), moid, id, Change{CPU: 2}); !errors.As(err, &foreign) {
		t.Errorf("another machine's identity: %v, want a ForeignVMError", err)
	}
	if err := s.PowerOn(t.Context(), "vm-99999", id); Classify(err) != ClassGone {
		t.Errorf("powering on a machine that is gone: %v, want class gone", err)
	}
}

func TestRelocate(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	to := cluster.Placement{ComputeCluster: "prod-b", Datastore: "vmfs-b", Networks: []string{"pg-k8s-120"}}
	counted := countCalls(s)
	for _, reason := range []string{"to another compute cluster", "where it is already"} {
		counted.reset()
		if err := s.Relocate(t.Context(), moid, r.Owner.Identity, to, "dc-north", "k8s/prod"); err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		m := onlyMachine(t, s)
		got := []any{m.ComputeCluster, m.Datastore, m.InFolder, m.Placement, m.PowerState, len(m.ForeignDisks)}
		want := []any{testkit.ClusterProdB, testkit.DatastoreVMFSB, true, to, "poweredOn", 0}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", reason, diff)
		}
	}
	if n := counted.count("RelocateVM_Task"); n != 0 {
		t.Errorf("a machine that is where it should be was relocated %d times", n)
	}
}

func TestPowerOn(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	ref := types.ManagedObjectReference{Type: typeVM, Value: moid}
	if err := s.powerOff(t.Context(), r.Name, ref, props{}); err != nil {
		t.Fatal(err)
	}
	if m := onlyMachine(t, s); m.PowerState != "poweredOff" {
		t.Fatalf("power state is %s", m.PowerState)
	}
	for _, reason := range []string{"a machine that is off", "a machine that is on"} {
		if err := s.PowerOn(t.Context(), moid, r.Owner.Identity); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	// The state may be stale when the call is made: the vCenter's refusal is looked into.
	if err := s.powerOn(t.Context(), r.Name, ref, props{}); err != nil {
		t.Errorf("powering on what is on: %v", err)
	}
	if err := s.powerOff(t.Context(), r.Name, ref, props{}); err != nil {
		t.Fatal(err)
	}
	if moid := mustClone(t, s, r); moid != ref.Value {
		t.Errorf("a clone repeated made %s beside %s", moid, ref.Value)
	}
	if m := onlyMachine(t, s); m.PowerState != "poweredOn" {
		t.Errorf("an adopted machine is %s, want poweredOn", m.PowerState)
	}
}

func TestCloneFailures(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	tests := map[string]struct {
		reason string
		change func(*CloneRequest)
		class  Class
		fault  string
	}{
		"NoRoom": {
			reason: "a disk larger than the datastore", change: func(r *CloneRequest) { r.DiskGiB = 1 << 20 },
			class: ClassNoRoom, fault: "NoDiskSpace",
		},
		"Unreachable": {
			reason: "a datastore the host does not mount", change: func(r *CloneRequest) {
				r.Owner.Placement.ComputeCluster, r.Owner.Placement.ResourcePool = "edge", ""
				r.Owner.Placement.Datastore, r.Owner.Placement.Networks = "vmfs-a", []string{"VM Network"}
			}, class: ClassNoRoom, fault: "NoCompatibleHost",
		},
		"Shrink": {reason: "a disk smaller than the template's", change: func(r *CloneRequest) { r.DiskGiB = 5 }, class: ClassFatal},
		"Template": {
			reason: "a template that is gone",
			change: func(r *CloneRequest) { r.Owner.Template = "/dc-north/vm/templates/gone" }, class: ClassFatal,
		},
		"NoSnapshot": {
			reason: "linked without a snapshot", change: func(r *CloneRequest) {
				*r = r.linkedTo("nfs-templates")
				r.Owner.Template = testkit.Template134NoSnapshot
			}, class: ClassFatal,
		},
		"Folder": {reason: "a folder that is gone", change: func(r *CloneRequest) { r.Folder = "gone" }, class: ClassFatal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(0)
			tc.change(&r)
			_, err := s.Clone(t.Context(), r)
			if diff := cmp.Diff(tc.class, Classify(err)); diff != "" {
				t.Errorf("%s: class of %v: -want, +got:\n%s", tc.reason, err, diff)
			}
			var fault *FaultError
			if errors.As(err, &fault) != (tc.fault != "") || fault != nil && fault.Fault != tc.fault {
				t.Errorf("%s: got %v, want fault %q", tc.reason, err, tc.fault)
			}
		})
	}
}

func TestCloneWithoutDRS(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	r.Owner.Placement = cluster.Placement{ComputeCluster: "edge", Datastore: "local-edge", Networks: []string{"VM Network"}}
	mustClone(t, s, r)
	if m := onlyMachine(t, s); m.ComputeCluster != testkit.ClusterEdge || len(m.ForeignDisks) > 0 {
		t.Errorf("machine is on %s with foreign disks %v", m.ComputeCluster, m.ForeignDisks)
	}
}

func TestCloneCards(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	r.Owner.Placement.Networks = []string{"pg-k8s-120", "VM Network", "nsx-opaque-1"}
	r.MACs = []string{r.Owner.MAC(0), r.Owner.MAC(1), ""}
	moid := mustClone(t, s, r)
	vm, _, err := s.mustReadMachine(t.Context(), moid, r.Owner.Identity)
	if err != nil {
		t.Fatal(err)
	}
	var macs []string
	for _, card := range ethernetCards(prop[types.ArrayOfVirtualDevice](vm.props, pathDevices).VirtualDevice) {
		macs = append(macs, card.GetVirtualEthernetCard().MacAddress)
	}
	if len(macs) != 3 || !slices.Contains(macs, r.MACs[0]) || !slices.Contains(macs, r.MACs[1]) {
		t.Errorf("cards have the addresses %v, want three with %v", macs, r.MACs[:2])
	}
}

func TestForeignDiskIsKept(t *testing.T) {
	owner := cluster.Owner{Disks: []int32{2000, 2001}}
	disk := func(key int32, file, fcd string) *types.VirtualDisk {
		d := &types.VirtualDisk{}
		d.Key = key
		d.Backing = &types.VirtualDiskFlatVer2BackingInfo{
			VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file},
		}
		if fcd != "" {
			d.VDiskId = &types.ID{Id: fcd}
		}
		return d
	}
	tests := map[string]struct {
		reason string
		disk   *types.VirtualDisk
		own    bool
	}{
		"Own":       {"recorded, and in the machine's directory", disk(2000, "[ds] m/m.vmdk", ""), true},
		"Delta":     {"a snapshot's file is the machine's", disk(2000, "[ds] m/m-000001.vmdk", ""), true},
		"Added":     {"not recorded", disk(2002, "[ds] m/m_1.vmdk", ""), false},
		"Elsewhere": {"swapped for a file of another directory", disk(2000, "[ds] fcd/x.vmdk", ""), false},
		"Twin":      {"a directory whose name only begins alike", disk(2000, "[ds] m2/m.vmdk", ""), false},
		"FCD":       {"a first class disk holds a volume", disk(2001, "[ds] m/m_1.vmdk", "id"), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			own, foreign := splitDisks(owner, props{
				"config.files.vmPathName": "[ds] m/m.vmx",
				pathDevices:               types.ArrayOfVirtualDevice{VirtualDevice: []types.BaseVirtualDevice{tc.disk}},
			})
			if diff := cmp.Diff([]int{1, 0}, []int{len(own), len(foreign)}); (diff == "") != tc.own {
				t.Errorf("%s: own %d, foreign %v", tc.reason, len(own), foreign)
			}
		})
	}
}
