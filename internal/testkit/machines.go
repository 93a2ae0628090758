package testkit

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// machinePlan is a VM or template of the inventory.
type machinePlan struct {
	path      string
	cluster   string
	datastore string
	network   string
	guestID   types.VirtualMachineGuestOsIdentifier
	cpu       int32
	memoryMiB int64
	diskGiB   int64
	// semver is the OVF property KUBERNETES_SEMVER, as its default or, with asValue, as its value.
	semver   string
	asValue  bool
	snapshot bool
	template bool
	// address is what a plain VM says it has.
	address string
}

const (
	ubuntu  = types.VirtualMachineGuestOsIdentifierUbuntu64Guest
	rocky   = types.VirtualMachineGuestOsIdentifierRockylinux_64Guest
	windows = types.VirtualMachineGuestOsIdentifierWindows2019srvNext_64Guest
)

var machinePlans = []machinePlan{
	{
		path: Template133, cluster: ClusterProdA, datastore: DatastoreVSAN, network: NetworkK8s120, guestID: ubuntu,
		cpu: 2, memoryMiB: 2048, diskGiB: TemplateDiskGiB, semver: "v1.33.5", asValue: true, snapshot: true, template: true,
	},
	{
		path: Template134, cluster: ClusterProdA, datastore: DatastoreVSAN, network: NetworkK8s120, guestID: ubuntu,
		cpu: 2, memoryMiB: 2048, diskGiB: TemplateDiskGiB, semver: "v1.34.1", snapshot: true, template: true,
	},
	{
		path: Template134NoSnapshot, cluster: ClusterProdA, datastore: DatastoreNFS, network: NetworkK8s120, guestID: ubuntu,
		cpu: 2, memoryMiB: 2048, diskGiB: TemplateDiskGiB, semver: "v1.34.1", template: true,
	},
	{
		path: TemplateRocky, cluster: ClusterProdB, datastore: DatastoreVSAN, network: NetworkStandard, guestID: rocky,
		cpu: 2, memoryMiB: 4096, diskGiB: TemplateDiskGiB, template: true,
	},
	{
		path: TemplateWindows, cluster: ClusterProdB, datastore: DatastoreNFS, network: NetworkStandard, guestID: windows,
		cpu: 4, memoryMiB: 8192, diskGiB: 40, template: true,
	},
	{
		path: TemplateDR, cluster: ClusterDRA, datastore: DatastoreDR, network: NetworkDR, guestID: ubuntu,
		cpu: 2, memoryMiB: 2048, diskGiB: TemplateDiskGiB, semver: "v1.34.1", snapshot: true, template: true,
	},
	{
		path: VMBilling, cluster: ClusterProdA, datastore: DatastoreVSAN, network: NetworkStandard, guestID: ubuntu,
		cpu: 4, memoryMiB: 16384, diskGiB: 100, address: AddressBilling,
	},
	{
		path: VMWiki, cluster: ClusterProdB, datastore: DatastoreVMFSB, network: NetworkStandard, guestID: ubuntu,
		cpu: 2, memoryMiB: 4096, diskGiB: 60, address: AddressWiki,
	},
}

// Device keys as vCenter numbers them.
const (
	controllerKey = 1000
	diskKey       = 2000
	nicKey        = 4000
)

func (vc *VCenter) buildMachines() error {
	for _, plan := range machinePlans {
		vm, err := vc.addMachine(plan)
		if err != nil {
			return fmt.Errorf("creating %s: %w", plan.path, err)
		}
		vc.guests.setImage(vm.Self, imageVersion(plan))
		if plan.template {
			continue
		}
		if _, err := vc.outcome(vm.PowerOnVMTask(vc.context(), &types.PowerOnVM_Task{This: vm.Self})); err != nil {
			return fmt.Errorf("powering on %s: %w", plan.path, err)
		}
		vc.publishPlain(vm, plan.address)
	}
	if vc.options.VMs > 0 {
		if err := vc.buildBulk(); err != nil {
			return err
		}
	}
	vc.accountSpace()
	return nil
}

// publishPlain lets a running VM that is none of ours tell its address.
func (vc *VCenter) publishPlain(vm *simulator.VirtualMachine, address string) {
	info := awake(vm.Config.GuestId, vm.Name)
	info.IpAddress = address
	for _, card := range cardsOf(vm) {
		nic := types.GuestNicInfo{
			Network: path.Base(NetworkStandard), MacAddress: card.MacAddress, Connected: true, DeviceConfigId: card.Key,
			IpConfig: &types.NetIpConfigInfo{},
		}
		addAddress(&nic, netip.PrefixFrom(netip.MustParseAddr(address), 16))
		info.Net = append(info.Net, nic)
		vc.guests.network.hold(nic.Network, address, vm.Config.InstanceUuid)
	}
	ctx := vc.context()
	ctx.WithLock(vm, func() { publishGuest(ctx, vm, info) })
}

var versionInName = regexp.MustCompile(`\d+\.\d+\.\d+$`)

// imageVersion is the version of the kubeadm on a template's disk, whatever says so.
func imageVersion(plan machinePlan) string {
	if plan.semver != "" || !strings.Contains(plan.path, "kube") {
		return plan.semver
	}
	return "v" + versionInName.FindString(plan.path)
}

// bulkFolder is how many extra VMs lie in one folder.
const bulkFolder = 200

// buildBulk makes the extra VMs of Options.VMs, by copying one: ten thousand take less than a second. They have neither
// cards nor disks, and no files: none of them ever runs.
func (vc *VCenter) buildBulk() error {
	root := "/" + DatacenterNorth + "/vm/bulk"
	if _, err := vc.makeFolder(root); err != nil {
		return err
	}
	var folder *simulator.Folder
	var pattern *simulator.VirtualMachine
	for i := range vc.options.VMs {
		var err error
		if i%bulkFolder == 0 {
			if folder, err = vc.makeFolder(fmt.Sprintf("%s/%03d", root, i/bulkFolder)); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("vm-%05d", i)
		if pattern != nil {
			vc.copyBulk(pattern, folder, name, i)
			continue
		}
		pattern, err = vc.addMachine(machinePlan{
			path: path.Join(vc.pathOf(&folder.Self), name), cluster: ClusterProdA, datastore: DatastoreNFS, guestID: ubuntu,
			cpu: 1, memoryMiB: 512,
		})
		if err != nil {
			return fmt.Errorf("creating %s: %w", name, err)
		}
	}
	return nil
}

func (vc *VCenter) copyBulk(pattern *simulator.VirtualMachine, folder *simulator.Folder, name string, i int) {
	ctx := vc.context()
	vm, config := *pattern, *pattern.Config
	vm.Self = types.ManagedObjectReference{Type: "VirtualMachine", Value: fmt.Sprintf("vm-bulk-%d", i)}
	vm.Name, vm.Parent, vm.Config, vm.Summary.Vm = name, &folder.Self, &config, &vm.Self
	config.Name, config.Uuid, config.InstanceUuid = name, uuid.NewString(), uuid.NewString()
	config.Files.VmPathName = fmt.Sprintf("[%s] %s/%s.vmx", path.Base(DatastoreNFS), name, name)
	config.Files.LogDirectory = path.Dir(config.Files.VmPathName)
	config.Hardware.Device = slices.Clone(config.Hardware.Device)
	vm.Summary.Config.Name, vm.Summary.Config.Uuid = name, config.Uuid
	vm.Summary.Config.InstanceUuid, vm.Summary.Config.VmPathName = config.InstanceUuid, config.Files.VmPathName
	folder.ChildEntity = append(folder.ChildEntity, vm.Self)
	ctx.Map.PutEntity(folder, &vm)
	if host, ok := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem); ok {
		host.Vm = append(host.Vm, vm.Self)
	}
	if pool, ok := vc.registry().Get(*vm.ResourcePool).(*simulator.ResourcePool); ok {
		pool.Vm = append(pool.Vm, vm.Self)
	}
	if datastore, ok := vc.registry().Get(vm.Datastore[0]).(*simulator.Datastore); ok {
		datastore.Vm = append(datastore.Vm, vm.Self)
	}
}

// addMachine creates a VM of the inventory, and its snapshot, and makes it a template where the plan says so.
func (vc *VCenter) addMachine(plan machinePlan) (*simulator.VirtualMachine, error) {
	spec, err := vc.machineSpec(plan)
	if err != nil {
		return nil, err
	}
	folder, err := objectAt[*simulator.Folder](vc, path.Dir(plan.path))
	if err != nil {
		return nil, err
	}
	cluster, err := objectAt[*simulator.ClusterComputeResource](vc, plan.cluster)
	if err != nil {
		return nil, err
	}
	host := cluster.Host[int(vc.counters.placed.Add(1))%len(cluster.Host)]
	vm, fault := vc.createMachine(vc.context(), folder, spec, *cluster.ResourcePool, host)
	if fault != nil {
		return nil, &faultError{fault: fault}
	}
	if plan.snapshot {
		request := &types.CreateSnapshot_Task{This: vm.Self, Name: TemplateSnapshot}
		if _, err := vc.outcome(vm.CreateSnapshotTask(vc.context(), request)); err != nil {
			return nil, fmt.Errorf("taking its snapshot: %w", err)
		}
	}
	if plan.template {
		if _, err := vc.outcome(vm.MarkAsTemplate(&types.MarkAsTemplate{This: vm.Self})); err != nil {
			return nil, fmt.Errorf("marking it as template: %w", err)
		}
		detachPool(vc.context(), cluster, vm)
	}
	return vm, nil
}

// detachPool takes a template out of its resource pool: a template has none.
func detachPool(ctx *simulator.Context, cluster *simulator.ClusterComputeResource, vm *simulator.VirtualMachine) {
	if pool, ok := ctx.Map.Get(*cluster.ResourcePool).(*simulator.ResourcePool); ok {
		ctx.Map.RemoveReference(ctx, pool, &pool.Vm, vm.Self)
	}
}

func (vc *VCenter) machineSpec(plan machinePlan) (types.VirtualMachineConfigSpec, error) {
	spec := types.VirtualMachineConfigSpec{
		Name:         path.Base(plan.path),
		GuestId:      string(plan.guestID),
		NumCPUs:      plan.cpu,
		MemoryMB:     plan.memoryMiB,
		Version:      "vmx-19",
		InstanceUuid: uuid.NewString(),
		Uuid:         uuid.NewString(),
		Files:        &types.VirtualMachineFileInfo{VmPathName: "[" + path.Base(plan.datastore) + "]"},
	}
	if plan.semver != "" {
		spec.VAppConfig = &types.VmConfigSpec{Property: semverProperties(plan)}
	}
	devices := []types.BaseVirtualDevice{newController()}
	if plan.diskGiB > 0 {
		devices = append(devices, newDisk(diskKey, 0, plan.diskGiB))
	}
	if plan.network != "" {
		backing, err := vc.nicBacking(plan.network)
		if err != nil {
			return spec, err
		}
		card := &types.VirtualVmxnet3{}
		card.Key = nicKey
		card.Backing = backing
		card.AddressType = string(types.VirtualEthernetCardMacTypeAssigned)
		card.MacAddress = vc.nextMAC()
		card.WakeOnLanEnabled = types.NewBool(true)
		devices = append(devices, card)
	}
	spec.DeviceChange = additions(devices)
	return spec, nil
}

func semverProperties(plan machinePlan) []types.VAppPropertySpec {
	add := types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}
	semver := &types.VAppPropertyInfo{Key: 1, Id: "KUBERNETES_SEMVER", Type: "string", DefaultValue: plan.semver}
	if plan.asValue {
		semver.DefaultValue, semver.Value = "", plan.semver
	}
	return []types.VAppPropertySpec{
		{ArrayUpdateSpec: add, Info: &types.VAppPropertyInfo{Key: 0, Id: "DISTRO_NAME", Type: "string", DefaultValue: "ubuntu"}},
		{ArrayUpdateSpec: add, Info: semver},
		{ArrayUpdateSpec: add, Info: &types.VAppPropertyInfo{Key: 2, Id: "CONTAINERD_VERSION", Type: "string", DefaultValue: "2.1.4"}},
	}
}

func newController() types.BaseVirtualDevice {
	controller := &types.ParaVirtualSCSIController{}
	controller.Key = controllerKey
	controller.ControllerKey = 100
	controller.SharedBus = types.VirtualSCSISharingNoSharing
	controller.ScsiCtlrUnitNumber = 7
	return controller
}

func newDisk(key, unit int32, sizeGiB int64) *types.VirtualDisk {
	disk := &types.VirtualDisk{CapacityInBytes: sizeGiB * gib, CapacityInKB: sizeGiB * gib / 1024}
	disk.Key = key
	disk.ControllerKey = controllerKey
	disk.UnitNumber = types.NewInt32(unit)
	disk.Backing = &types.VirtualDiskFlatVer2BackingInfo{
		DiskMode: string(types.VirtualDiskModePersistent), ThinProvisioned: types.NewBool(true),
	}
	return disk
}

// additions makes the change that adds devices. A disk without a file name gets a new file, one with a name must exist.
func additions(devices []types.BaseVirtualDevice) []types.BaseVirtualDeviceConfigSpec {
	var changes []types.BaseVirtualDeviceConfigSpec
	for _, device := range devices {
		change := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
		if _, ok := device.(*types.VirtualDisk); ok {
			change.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
		}
		changes = append(changes, change)
	}
	return changes
}

// nextMAC returns an address of the range that vCenter assigns from.
func (vc *VCenter) nextMAC() string {
	n := vc.counters.mac.Add(1)
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", 0x80+(n>>16)&0x3f, (n>>8)&0xff, n&0xff)
}

// createMachine makes a VM so that nobody sees it half made: it is locked from the moment it is in the inventory until
// all of it is there.
func (vc *VCenter) createMachine(
	ctx *simulator.Context, folder *simulator.Folder, spec types.VirtualMachineConfigSpec,
	pool, host types.ManagedObjectReference,
) (*simulator.VirtualMachine, types.BaseMethodFault) {
	building.Lock()
	defer building.Unlock()
	midwife := &midwife{ctx: ctx}
	midwife.Self = types.ManagedObjectReference{Type: "Midwife", Value: spec.InstanceUuid}
	ctx.Map.AddHandler(midwife)
	defer midwife.leave()

	result, fault := vc.settle(folder.CreateVMTask(ctx, &types.CreateVM_Task{
		This: folder.Self, Config: spec, Pool: pool, Host: &host,
	}))
	if fault != nil {
		return nil, fault
	}
	ref, _ := result.(types.ManagedObjectReference)
	vm, ok := ctx.Map.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	// The simulator shares default devices among all VMs of the process; a VM has its own.
	vm.Config.Hardware.Device = cloneDevices(vm.Config.Hardware.Device)
	vm.Config.CreateDate = types.NewTime(time.Now())
	vm.Guest = asleep(vm.Config.GuestId)
	vm.Config.ExtraConfig = slices.DeleteFunc(vm.Config.ExtraConfig, func(option types.BaseOptionValue) bool {
		return option.GetOptionValue().Key == "govcsim"
	})
	return vm, nil
}

// midwife holds the lock of a VM that is being born.
type midwife struct {
	mo.Task
	ctx    *simulator.Context
	unlock func()
}

// Reference is part of simulator.RegisterObject.
func (m *midwife) Reference() types.ManagedObjectReference { return m.Self }

// PutObject is part of simulator.RegisterObject.
func (m *midwife) PutObject(_ *simulator.Context, object mo.Reference) {
	if vm, ok := object.(*simulator.VirtualMachine); ok && m.unlock == nil {
		m.unlock = m.ctx.Map.AcquireLock(m.ctx, vm)
	}
}

// UpdateObject is part of simulator.RegisterObject.
func (m *midwife) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

// RemoveObject is part of simulator.RegisterObject.
func (m *midwife) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}

func (m *midwife) leave() {
	m.ctx.Map.RemoveHandler(m)
	if m.unlock != nil {
		m.unlock()
	}
}
