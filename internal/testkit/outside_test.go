package testkit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// made is a bench with a powered-on clone "a".
func made(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, Options{})
	spec := b.spec()
	spec.PowerOn = true
	spec.Config.ExtraConfig = []types.BaseOptionValue{&types.OptionValue{Key: "palette.owner", Value: "us"}}
	if err := b.clone(Template134, "a", spec); err != nil {
		t.Fatal(err)
	}
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ended(t *testing.T, started *object.Task, err error) error {
	t.Helper()
	if err != nil {
		return err
	}
	return started.Wait(t.Context())
}

func (b *bench) reconfigure(path string, spec types.VirtualMachineConfigSpec) error {
	b.t.Helper()
	started, err := b.vm(path).Reconfigure(b.t.Context(), spec)
	return ended(b.t, started, err)
}

func TestDestroyWantsPowerOffAndTakesAllDisks(t *testing.T) {
	b := made(t)
	const foreign = "[vsan-prod] data/volume.vmdk"
	check(t, b.vc.AttachForeignDisk("a", foreign))
	own := b.vc.VM("a").Disks[0]
	if !b.vc.DiskExists(own) || !b.vc.DiskExists(foreign) {
		t.Fatalf("%s exists: %t, %s exists: %t", own, b.vc.DiskExists(own), foreign, b.vc.DiskExists(foreign))
	}
	vm := b.vm(FolderK8s + "/a")
	started, err := vm.Destroy(t.Context())
	if err := ended(t, started, err); !isFault(err, &types.InvalidPowerState{}) {
		t.Errorf("destroying a running VM: got %v, want InvalidPowerState", err)
	}
	off, err := vm.PowerOff(t.Context())
	check(t, ended(t, off, err))
	started, err = vm.Destroy(t.Context())
	check(t, ended(t, started, err))
	if b.vc.VM("a").Exists || b.vc.DiskExists(own) || b.vc.DiskExists(foreign) {
		t.Errorf("left: VM %t, own disk %t, foreign disk %t", b.vc.VM("a").Exists, b.vc.DiskExists(own), b.vc.DiskExists(foreign))
	}
}

func TestDetachedDiskSurvivesDestroy(t *testing.T) {
	b := made(t)
	const foreign = "[vmfs-b] data/volume.vmdk"
	check(t, b.vc.AttachForeignDisk("a", foreign))
	devices, err := b.vm(FolderK8s + "/a").Device(t.Context())
	check(t, err)
	disks := devices.SelectByType((*types.VirtualDisk)(nil))
	check(t, b.vm(FolderK8s+"/a").RemoveDevice(t.Context(), true, disks[len(disks)-1]))
	check(t, b.vc.DestroyVM("a"))
	if !b.vc.DiskExists(foreign) {
		t.Error("the detached disk is gone")
	}
}

func TestReconfigureHasLimits(t *testing.T) {
	long := strings.Repeat("x", maxGuestInfo+1)
	for _, test := range []struct {
		reason string
		change func(*bench) types.VirtualMachineConfigSpec
		want   types.BaseMethodFault
	}{
		{"CPUs of a running VM", func(*bench) types.VirtualMachineConfigSpec { return types.VirtualMachineConfigSpec{NumCPUs: 8} }, &types.CpuHotPlugNotSupported{}},
		{"memory of a running VM", func(*bench) types.VirtualMachineConfigSpec { return types.VirtualMachineConfigSpec{MemoryMB: 8192} }, &types.MemoryHotPlugNotSupported{}},
		{"a long guestinfo value", func(*bench) types.VirtualMachineConfigSpec {
			return types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.x", Value: long}}}
		}, &types.InvalidArgument{}},
		{"a disk larger than the datastore", func(b *bench) types.VirtualMachineConfigSpec {
			return types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{b.grow(FolderK8s+"/a", 1<<20)}}
		}, &types.NoDiskSpace{}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := made(t)
			before := b.vc.VM("a")
			if err := b.reconfigure(FolderK8s+"/a", test.change(b)); !isFault(err, test.want) {
				t.Errorf("got %v, want %T", err, test.want)
			}
			if diff := cmp.Diff(before, b.vc.VM("a")); diff != "" {
				t.Errorf("the refused change did something (-before +after):\n%s", diff)
			}
		})
	}
}

func TestReconfigureChanges(t *testing.T) {
	b := made(t)
	check(t, b.reconfigure(FolderK8s+"/a", types.VirtualMachineConfigSpec{
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{b.grow(FolderK8s+"/a", 30)},
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "absent", Value: ""}, &types.OptionValue{Key: "palette.owner", Value: ""}, &types.OptionValue{Key: "new", Value: "1"},
		},
	}))
	got := b.vc.VM("a")
	if got.DiskGiB != 30 {
		t.Errorf("disk: %d GiB", got.DiskGiB)
	}
	if diff := cmp.Diff(map[string]string{"new": "1"}, got.ExtraConfig); diff != "" {
		t.Errorf("extraConfig (-want +got):\n%s", diff)
	}
}

func TestLinkedDiskDoesNotGrow(t *testing.T) {
	b := newBench(t, Options{})
	spec := b.spec()
	spec.Location.DiskMoveType, spec.Snapshot = linked, b.snapshot(Template134)
	check(t, b.clone(Template134, "a", spec))
	err := b.reconfigure(FolderK8s+"/a", types.VirtualMachineConfigSpec{
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{b.grow(FolderK8s+"/a", 30)},
	})
	if !isFault(err, &types.InvalidDeviceOperation{}) {
		t.Errorf("got %v, want InvalidDeviceOperation", err)
	}
}

func TestMoveVM(t *testing.T) {
	for _, test := range []struct {
		reason, target string
		field          func(*VMState) string
	}{
		{"folder", FolderLegacy, func(s *VMState) string { return s.Folder }},
		{"resource pool", PoolBatch, func(s *VMState) string { return s.ResourcePool }},
		{"compute cluster", ClusterProdB, func(s *VMState) string { return s.ComputeCluster }},
		{"datastore", DatastoreVMFSB, func(s *VMState) string { return s.Datastore }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := made(t)
			check(t, b.vc.MoveVM("a", test.target))
			got := b.vc.VM("a")
			if diff := cmp.Diff(test.target, test.field(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !b.vc.DiskExists(got.Disks[0]) {
				t.Errorf("its disk %s is gone", got.Disks[0])
			}
			var vm mo.VirtualMachine
			check(t, b.client.RetrieveOne(t.Context(), *b.ref(got.Path), []string{"parent", "datastore", "resourcePool"}, &vm))
			check(t, b.vc.DestroyVM("a"))
			if b.vc.DiskExists(got.Disks[0]) {
				t.Error("its disk is left")
			}
		})
	}
}

func TestRelocateByTheAPI(t *testing.T) {
	b := made(t)
	started, err := b.vm(FolderK8s+"/a").Relocate(t.Context(), types.VirtualMachineRelocateSpec{
		Folder: b.ref(FolderTemplates), Pool: b.ref(PoolK8s), Datastore: b.ref(DatastoreVMFSA),
	}, types.VirtualMachineMovePriorityDefaultPriority)
	check(t, ended(t, started, err))
	got := b.vc.VM("a")
	want := []string{FolderTemplates, PoolK8s, DatastoreVMFSA}
	if diff := cmp.Diff(want, []string{got.Folder, got.ResourcePool, got.Datastore}); diff != "" {
		t.Errorf("place (-want +got):\n%s", diff)
	}
}

func TestCopiesAndForeignVMs(t *testing.T) {
	b := made(t)
	check(t, b.vc.CopyVM("a", "a-copy"))
	check(t, b.vc.CreateForeignVM(FolderK8s, "foreign"))
	original, duplicate := b.vc.VM("a"), b.vc.VM("a-copy")
	if diff := cmp.Diff(original.ExtraConfig, duplicate.ExtraConfig); diff != "" {
		t.Errorf("extraConfig of the copy (-want +got):\n%s", diff)
	}
	if original.InstanceUUID == duplicate.InstanceUUID || duplicate.Power != "poweredOff" {
		t.Errorf("copy: %+v", duplicate)
	}
	if got := b.vc.VM(FolderK8s + "/foreign"); !got.Exists || len(got.ExtraConfig) != 0 {
		t.Errorf("foreign VM: %+v", got)
	}
}

func TestResizeAndPowerOutside(t *testing.T) {
	b := made(t)
	check(t, b.vc.ResizeVM("a", 8, 0))
	check(t, b.vc.PowerOffVM("a"))
	if got := b.vc.VM("a"); got.CPU != 8 || got.Power != "poweredOff" {
		t.Errorf("got %d CPUs, %s", got.CPU, got.Power)
	}
}

func TestFolderDestroyTakesVMs(t *testing.T) {
	b := made(t)
	folder := object.NewFolder(b.client.Client, *b.ref(FolderK8s))
	started, err := folder.Destroy(t.Context())
	if err := ended(t, started, err); !isFault(err, &types.InvalidPowerState{}) {
		t.Errorf("a folder with a running VM: got %v, want InvalidPowerState", err)
	}
	if !b.vc.VM("a").Exists {
		t.Fatal("the VM is gone")
	}
	check(t, b.vc.DestroyFolder(FolderK8s))
	if diff := cmp.Diff([]string{VMBilling, VMWiki}, b.vc.VMs()); diff != "" {
		t.Errorf("VMs (-want +got):\n%s", diff)
	}
}

func TestThingsGoAway(t *testing.T) {
	b := made(t)
	check(t, b.vc.DestroyTemplate(Template134))
	if b.vc.VM(Template134).Exists {
		t.Error("the template is left")
	}
	check(t, b.vc.SetMaintenance(DatastoreNFS))
	spec := b.spec()
	spec.Location.Datastore = b.ref(DatastoreNFS)
	if err := b.clone(Template133, "b", spec); !isFault(err, &types.InvalidDatastoreState{}) {
		t.Errorf("a datastore in maintenance: got %v, want InvalidDatastoreState", err)
	}
	check(t, b.vc.DestroyDatastore(DatastoreVSAN))
	if _, err := b.search.Datastore(t.Context(), DatastoreVSAN); err == nil {
		t.Error("the datastore is left")
	}
	if err := b.clone(Template133, "b", spec); err == nil {
		t.Error("a template whose datastore is gone was cloned")
	}
	started, err := b.vm(FolderK8s + "/a").Destroy(t.Context())
	check(t, ended(t, started, err))
	if b.vc.VM("a").Exists {
		t.Error("the VM is left")
	}
}

func TestAddTemplate(t *testing.T) {
	f := newFarm(t, Options{})
	const path = "/dc-north/vm/templates/ubuntu-2404-kube-v1.35.0"
	check(t, f.vc.AddTemplate(path, "v1.35.0"))
	if got := f.vc.VM(path); !got.Template || got.DiskGiB != TemplateDiskGiB {
		t.Errorf("template: %+v", got)
	}
	if got := f.vc.guests.image(*f.ref(path)); got != "v1.35.0" {
		t.Errorf("image: %s", got)
	}
}

func TestDestroyedNodesGoAway(t *testing.T) {
	f := newFarm(t, Options{})
	f.boot("cp0", cluster.JoinInit, "")
	f.joined("cp0")
	check(t, f.vc.DestroyVM("cp0"))
	if nodes := f.vc.Nodes(endpoint); len(nodes) != 0 {
		t.Errorf("nodes: %v", nodes)
	}
}
