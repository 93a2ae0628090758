package testkit

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const testUUID = "11111111-2222-5333-8444-555555555555"

// bench is a client with the objects most tests need.
type bench struct {
	t      *testing.T
	vc     *VCenter
	client *govmomi.Client
	search *find.Finder
}

func newBench(t *testing.T, options Options) *bench {
	t.Helper()
	vc := Start(t, options)
	client := mustDial(t, vc)
	return &bench{t: t, vc: vc, client: client, search: find.NewFinder(client.Client, false)}
}

func (b *bench) vm(path string) *object.VirtualMachine {
	b.t.Helper()
	vm, err := b.search.VirtualMachine(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	return vm
}

func (b *bench) ref(path string) *types.ManagedObjectReference {
	b.t.Helper()
	elements, err := b.search.ManagedObjectList(b.t.Context(), path)
	if err != nil || len(elements) != 1 {
		b.t.Fatalf("%s: %v, %v", path, elements, err)
	}
	ref := elements[0].Object.Reference()
	return &ref
}

func (b *bench) snapshot(template string) *types.ManagedObjectReference {
	b.t.Helper()
	ref, err := b.vm(template).FindSnapshot(b.t.Context(), TemplateSnapshot)
	if err != nil {
		b.t.Fatal(err)
	}
	return ref
}

// spec is a clone of Template134 into prod-a on vsan-prod.
func (b *bench) spec() types.VirtualMachineCloneSpec {
	return types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{
			Pool: b.ref(ClusterProdA + "/Resources"), Datastore: b.ref(DatastoreVSAN),
		},
		Config: &types.VirtualMachineConfigSpec{InstanceUuid: testUUID},
	}
}

func (b *bench) clone(template, name string, spec types.VirtualMachineCloneSpec) error {
	b.t.Helper()
	started, err := b.vm(template).Clone(b.t.Context(), object.NewFolder(b.client.Client, *b.ref(FolderK8s)), name, spec)
	if err != nil {
		return err
	}
	return started.Wait(b.t.Context())
}

// grow asks for another size of the template's disk.
func (b *bench) grow(template string, sizeGiB int64) types.BaseVirtualDeviceConfigSpec {
	b.t.Helper()
	devices, err := b.vm(template).Device(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	disk := devices.SelectByType((*types.VirtualDisk)(nil))[0].(*types.VirtualDisk)
	disk.CapacityInBytes, disk.CapacityInKB = sizeGiB*gib, sizeGiB*gib/1024
	return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: disk}
}

func (b *bench) freeGiB(datastore string) int64 {
	b.t.Helper()
	var ds mo.Datastore
	err := b.client.RetrieveOne(b.t.Context(), *b.ref(datastore), []string{"summary"}, &ds)
	if err != nil {
		b.t.Fatal(err)
	}
	return ds.Summary.FreeSpace / gib
}

func isFault(err error, want types.BaseMethodFault) bool {
	if fault.Is(err, want) {
		return true
	}
	var failed task.Error
	return errors.As(err, &failed) && fault.Is(failed, want)
}

func TestCloneHonoursItsSpec(t *testing.T) {
	b := newBench(t, Options{})
	before := b.freeGiB(DatastoreVSAN)
	spec := b.spec()
	spec.PowerOn = true
	spec.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{b.grow(Template134, 40)}
	spec.Config = &types.VirtualMachineConfigSpec{
		InstanceUuid: testUUID, Annotation: "a note", NumCPUs: 4, NumCoresPerSocket: types.NewInt32(2), MemoryMB: 8192,
		Flags:       &types.VirtualMachineFlagInfo{DiskUuidEnabled: types.NewBool(true)},
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "palette.owner", Value: "us"}, &types.OptionValue{Key: "absent", Value: ""}},
	}
	if err := b.clone(Template134, "a", spec); err != nil {
		t.Fatal(err)
	}
	got := b.vc.VM(FolderK8s + "/a")
	want := &VMState{
		Exists: true, Name: "a", Path: FolderK8s + "/a", Folder: FolderK8s, Power: "poweredOn", CPU: 4, MemoryMiB: 8192,
		DiskGiB: 40, ExtraConfig: map[string]string{"palette.owner": "us"}, ComputeCluster: ClusterProdA,
		Datastore: DatastoreVSAN, ResourcePool: ClusterProdA + "/Resources", InstanceUUID: testUUID, Annotation: "a note",
		DiskUUIDEnabled: true,
	}
	if len(got.Disks) != 1 || !strings.HasSuffix(got.Disks[0], "/a.vmdk") {
		t.Errorf("disks: %v", got.Disks)
	}
	if !strings.HasPrefix(got.Host, "esx-a") {
		t.Errorf("host: %s", got.Host)
	}
	want.Disks, want.Host, want.Moid = got.Disks, got.Host, got.Moid
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clone (-want +got):\n%s", diff)
	}
	if source := b.vc.VM(Template134); source.DiskGiB != TemplateDiskGiB || source.Disks[0] == got.Disks[0] {
		t.Errorf("the clone shares the template's disk: %v", source)
	}
	if used := before - b.freeGiB(DatastoreVSAN); used != 40 {
		t.Errorf("the clone takes %d GiB, want 40", used)
	}
}

func TestLinkedCloneIsAChild(t *testing.T) {
	b := newBench(t, Options{})
	before := b.freeGiB(DatastoreVSAN)
	spec := b.spec()
	spec.Location.DiskMoveType, spec.Snapshot = linked, b.snapshot(Template134)
	if err := b.clone(Template134, "a", spec); err != nil {
		t.Fatal(err)
	}
	got := b.vc.VM("a")
	if diff := cmp.Diff(b.vc.VM(Template134).Disks[0], got.LinkedTo); diff != "" {
		t.Errorf("parent (-want +got):\n%s", diff)
	}
	if got.Disks[0] == got.LinkedTo {
		t.Error("the linked clone has no file of its own")
	}
	if used := before - b.freeGiB(DatastoreVSAN); used != 0 {
		t.Errorf("a linked clone takes %d GiB", used)
	}
}

func TestCloneIsRefused(t *testing.T) {
	nothing := func(kind string) *types.ManagedObjectReference {
		return &types.ManagedObjectReference{Type: kind, Value: "gone-1"}
	}
	for _, test := range []struct {
		reason string
		change func(*bench, *types.VirtualMachineCloneSpec)
		want   types.BaseMethodFault
	}{
		{"a pool that is gone", func(_ *bench, s *types.VirtualMachineCloneSpec) { s.Location.Pool = nothing("ResourcePool") }, &types.ManagedObjectNotFound{}},
		{"a host that is gone", func(_ *bench, s *types.VirtualMachineCloneSpec) { s.Location.Host = nothing("HostSystem") }, &types.ManagedObjectNotFound{}},
		{"a datastore that is gone", func(_ *bench, s *types.VirtualMachineCloneSpec) { s.Location.Datastore = nothing("Datastore") }, &types.ManagedObjectNotFound{}},
		{"a template needs a pool", func(_ *bench, s *types.VirtualMachineCloneSpec) { s.Location.Pool = nil }, &types.InvalidArgument{}},
		{"a host of another cluster", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.Host = b.ref(ClusterProdB + "/esx-b1.north.example")
		}, &types.InvalidArgument{}},
		{"no DRS and no host", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.Pool, s.Location.Datastore = b.ref(ClusterEdge+"/Resources"), b.ref(DatastoreEdge)
		}, &types.InvalidArgument{}},
		{"a datastore the host does not have", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.Host, s.Location.Datastore = b.ref(ClusterProdA+"/esx-a1.north.example"), b.ref(DatastoreEdge)
		}, &types.InvalidDatastore{}},
		{"more than is free", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{b.grow(Template134, 1<<20)}
		}, &types.NoDiskSpace{}},
		{"a smaller disk", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{b.grow(Template134, 10)}
		}, &types.InvalidDeviceSpec{}},
		{"linked without a snapshot", func(_ *bench, s *types.VirtualMachineCloneSpec) { s.Location.DiskMoveType = linked }, &types.InvalidArgument{}},
		{"linked with another size", func(b *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.DiskMoveType, s.Snapshot = linked, b.snapshot(Template134)
			s.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{b.grow(Template134, 40)}
		}, &types.InvalidDeviceSpec{}},
		{"a network that is gone", func(_ *bench, s *types.VirtualMachineCloneSpec) {
			s.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
				Operation: types.VirtualDeviceConfigSpecOperationEdit,
				Device: &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: types.VirtualEthernetCard{
					VirtualDevice: types.VirtualDevice{Key: nicKey, Backing: &types.VirtualEthernetCardNetworkBackingInfo{
						VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "no such network"},
					}},
				}}},
			}}
		}, &types.InvalidDeviceSpec{}},
		{"a guestinfo value over 64 KiB", func(_ *bench, s *types.VirtualMachineCloneSpec) {
			s.Config.ExtraConfig = []types.BaseOptionValue{
				&types.OptionValue{Key: "guestinfo.userdata", Value: strings.Repeat("a", maxGuestInfo+1)},
			}
		}, &types.InvalidArgument{}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := newBench(t, Options{})
			spec := b.spec()
			test.change(b, &spec)
			err := b.clone(Template134, "a", spec)
			if !isFault(err, test.want) {
				t.Errorf("got %v, want %T", err, test.want)
			}
			if b.vc.VM("a").Exists {
				t.Error("the refused clone exists")
			}
			if !b.vc.VM(Template134).Template {
				t.Error("the template cannot be read any more")
			}
		})
	}
}

func TestSecondCloneOfANameAndOfAnInstanceUUID(t *testing.T) {
	b := newBench(t, Options{})
	if err := b.clone(Template134, "a", b.spec()); err != nil {
		t.Fatal(err)
	}
	if err := b.clone(Template134, "a", b.spec()); !isFault(err, &types.DuplicateName{}) {
		t.Errorf("same name: got %v, want DuplicateName", err)
	}
	if err := b.clone(Template134, "b", b.spec()); err != nil {
		t.Fatal(err)
	}
	if first, second := b.vc.VM("a").InstanceUUID, b.vc.VM("b").InstanceUUID; first != testUUID || second == testUUID || second == "" {
		t.Errorf("instance UUIDs %s and %s", first, second)
	}
}

func TestCloneInheritsExtraConfig(t *testing.T) {
	b := newBench(t, Options{})
	spec := b.spec()
	spec.Config.ExtraConfig = []types.BaseOptionValue{
		&types.OptionValue{Key: "palette.owner", Value: "first"}, &types.OptionValue{Key: "keep", Value: "1"}, &types.OptionValue{Key: "drop", Value: "1"},
	}
	if err := b.clone(Template134, "a", spec); err != nil {
		t.Fatal(err)
	}
	spec.Config.ExtraConfig = []types.BaseOptionValue{
		&types.OptionValue{Key: "palette.owner", Value: "second"}, &types.OptionValue{Key: "drop", Value: ""},
	}
	if err := b.clone(FolderK8s+"/a", "b", spec); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"palette.owner": "second", "keep": "1"}
	if diff := cmp.Diff(want, b.vc.VM("b").ExtraConfig); diff != "" {
		t.Errorf("extraConfig (-want +got):\n%s", diff)
	}
}

func TestSourceIsReadableDuringAClone(t *testing.T) {
	b := newBench(t, Options{CloneDelay: time.Hour})
	_, err := b.vm(Template134).Clone(t.Context(), object.NewFolder(b.client.Client, *b.ref(FolderK8s)), "a", b.spec())
	if err != nil {
		t.Fatal(err)
	}
	var vm mo.VirtualMachine
	if err := b.client.RetrieveOne(t.Context(), *b.ref(Template134), []string{"config"}, &vm); err != nil {
		t.Error(err)
	}
	if b.vc.VM("a").Exists {
		t.Error("the clone exists before its time")
	}
}

func TestNameIsTakenDuringAClone(t *testing.T) {
	b := newBench(t, Options{CloneDelay: time.Hour})
	folder := object.NewFolder(b.client.Client, *b.ref(FolderK8s))
	running, err := b.vm(Template134).Clone(t.Context(), folder, "a", b.spec())
	if err != nil {
		t.Fatal(err)
	}
	var info mo.Task
	if err := b.client.RetrieveOne(t.Context(), running.Reference(), []string{"info"}, &info); err != nil {
		t.Fatal(err)
	}
	type shown struct {
		State       types.TaskInfoState
		Description string
		Entity      types.ManagedObjectReference
		Reason      types.BaseTaskReason
	}
	want := shown{
		State: types.TaskInfoStateRunning, Description: "VirtualMachine.clone", Entity: *b.ref(Template134),
		Reason: &types.TaskReasonUser{UserName: Username},
	}
	got := shown{State: info.Info.State, Description: info.Info.DescriptionId, Entity: *info.Info.Entity, Reason: info.Info.Reason}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the task of a running clone (-want +got):\n%s", diff)
	}
	var manager mo.TaskManager
	if err := b.client.RetrieveOne(
		t.Context(), *b.client.ServiceContent.TaskManager, []string{"recentTask"}, &manager,
	); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(manager.RecentTask, running.Reference()) {
		t.Errorf("recent tasks are %v, want %s among them", manager.RecentTask, running.Reference())
	}
	err = b.clone(Template134, "a", b.spec())
	if !isFault(err, &types.DuplicateName{}) {
		t.Errorf("a second clone of the name: %v, want DuplicateName", err)
	}
}
