package testkit

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// maxGuestInfo is how long one guestinfo value may be: what a guest can read of one.
const maxGuestInfo = 64 << 10

// cloneTask makes a clone's task the "VirtualMachine.clone" that it is in a vCenter.
const cloneTask = "clone"

const linked = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)

// CloneVMTask clones as vCenter does. References to nothing are refused at once, everything else ends the task. The name
// is the clone's from the beginning, though nobody can see it before it is made.
func (m *machineCalls) CloneVMTask(_ *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	if fault := m.vc.checkReferences(req); fault != nil {
		return refused(fault)
	}
	name := childName{folder: req.Folder, name: req.Name}
	holder, held := m.vc.cloning[name]
	if held {
		task := m.vc.startTask(m.vm.Self, cloneTask, 0, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return nil, &types.DuplicateName{Name: req.Name, Object: holder}
		})
		return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task}}
	}
	task := m.vc.startTask(m.vm.Self, cloneTask, m.vc.options.CloneDelay,
		func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			delete(m.vc.cloning, name)
			vm, fault := m.vc.clone(ctx, m.vm, req)
			if vm == nil {
				return nil, fault
			}
			return vm.Self, fault
		})
	m.vc.cloning[name] = types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-of-" + task.Value}
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task}}
}

// childName is a name in a folder.
type childName struct {
	folder types.ManagedObjectReference
	name   string
}

func (vc *VCenter) checkReferences(req *types.CloneVM_Task) types.BaseMethodFault {
	location := req.Spec.Location
	folder := &req.Folder
	for _, want := range []struct {
		ref  *types.ManagedObjectReference
		fits func(mo.Reference) bool
	}{
		{folder, is[*simulator.Folder]},
		{location.Folder, is[*simulator.Folder]},
		{location.Pool, is[*simulator.ResourcePool]},
		{location.Host, is[*simulator.HostSystem]},
		{location.Datastore, is[*simulator.Datastore]},
		{req.Spec.Snapshot, is[*simulator.VirtualMachineSnapshot]},
	} {
		if want.ref != nil && !want.fits(vc.registry().Get(*want.ref)) {
			return &types.ManagedObjectNotFound{Obj: *want.ref}
		}
	}
	for _, disk := range location.Disk {
		if !is[*simulator.Datastore](vc.registry().Get(disk.Datastore)) {
			return &types.ManagedObjectNotFound{Obj: disk.Datastore}
		}
	}
	return nil
}

func is[T mo.Reference](object mo.Reference) bool {
	_, ok := object.(T)
	return ok
}

// clone makes the clone. The world is the caller's.
func (vc *VCenter) clone(
	ctx *simulator.Context, source *simulator.VirtualMachine, req *types.CloneVM_Task,
) (*simulator.VirtualMachine, types.BaseMethodFault) {
	if vc.registry().Get(source.Self) == nil {
		return nil, &types.ManagedObjectNotFound{Obj: source.Self}
	}
	if lost(source) {
		return nil, &types.InvalidState{}
	}
	folder, ok := vc.registry().Get(req.Folder).(*simulator.Folder)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: req.Folder}
	}
	if twin := ctx.Map.FindByName(req.Name, folder.ChildEntity); twin != nil {
		return nil, &types.DuplicateName{Name: req.Name, Object: twin.Reference()}
	}
	place, fault := vc.place(source, &req.Spec.Location)
	if fault != nil {
		return nil, fault
	}
	disks, fault := vc.cloneDisks(source, req, place)
	if fault != nil {
		return nil, fault
	}
	spec, fault := vc.cloneSpec(source, req, place, disks)
	if fault != nil {
		return nil, fault
	}
	vm, fault := vc.createMachine(ctx, folder, spec, place.pool, place.host.Self)
	if fault != nil {
		return nil, fault
	}
	vc.finishClone(ctx, vm, req, disks)
	vc.guests.setImage(vm.Self, vc.guests.image(source.Self))
	if !req.Spec.PowerOn {
		return vm, nil
	}
	// A failing power-on fails the task, but the clone stays.
	return vm, vc.powerOn(ctx, vm)
}

func (vc *VCenter) finishClone(
	ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.CloneVM_Task, disks clonedDisks,
) {
	ctx.WithLock(vm, func() {
		for _, disk := range disksOf(vm) {
			backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
			if ok && datastoreOf(backing.FileName) == datastoreOf(dirOf(vm)+"/") {
				// On vSAN the simulator calls the directory by its object's UUID for the VM and by its name for disks.
				backing.FileName = dirOf(vm) + "/" + path.Base(backing.FileName)
			}
			if parent := disks.parents[disk.Key]; ok && parent != nil {
				backing.Parent = parent
				backing.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatRedoLogFormat)
			}
		}
		if req.Spec.Template {
			_ = vm.MarkAsTemplate(&types.MarkAsTemplate{This: vm.Self})
		}
	})
	vc.accountSpace()
}

// cloneSpec is what the clone is made with: all of the source, changed by the request.
func (vc *VCenter) cloneSpec(
	source *simulator.VirtualMachine, req *types.CloneVM_Task, place placement, disks clonedDisks,
) (types.VirtualMachineConfigSpec, types.BaseMethodFault) {
	change := types.VirtualMachineConfigSpec{}
	if req.Spec.Config != nil {
		change = *req.Spec.Config
	}
	extra, fault := mergeExtra(source.Config.ExtraConfig, change.ExtraConfig)
	if fault != nil {
		return types.VirtualMachineConfigSpec{}, fault
	}
	if fault := vc.checkCards(disks.devices, place.host); fault != nil {
		return types.VirtualMachineConfigSpec{}, fault
	}
	hardware := source.Config.Hardware
	flags := source.Config.Flags
	if change.Flags != nil && change.Flags.DiskUuidEnabled != nil {
		flags.DiskUuidEnabled = change.Flags.DiskUuidEnabled
	}
	spec := types.VirtualMachineConfigSpec{
		Name:              req.Name,
		Version:           source.Config.Version,
		GuestId:           or(change.GuestId, source.Config.GuestId),
		Firmware:          or(change.Firmware, source.Config.Firmware),
		Annotation:        or(change.Annotation, source.Config.Annotation),
		NumCPUs:           or(change.NumCPUs, hardware.NumCPU),
		NumCoresPerSocket: orPointer(change.NumCoresPerSocket, hardware.NumCoresPerSocket),
		MemoryMB:          or(change.MemoryMB, int64(hardware.MemoryMB)),
		Uuid:              or(change.Uuid, uuid.NewString()),
		InstanceUuid:      vc.freeInstanceUUID(change.InstanceUuid),
		Flags:             &flags,
		ManagedBy:         change.ManagedBy,
		CpuAllocation:     change.CpuAllocation,
		MemoryAllocation:  change.MemoryAllocation,
		CpuHotAddEnabled:  orPointer(change.CpuHotAddEnabled, source.Config.CpuHotAddEnabled),
		ExtraConfig:       extra,
		DeviceChange:      additions(disks.devices),
		Files:             &types.VirtualMachineFileInfo{VmPathName: "[" + place.datastore.Name + "]"},
	}
	spec.MemoryHotAddEnabled = orPointer(change.MemoryHotAddEnabled, source.Config.MemoryHotAddEnabled)
	if removed := change.VAppConfigRemoved; removed == nil || !*removed {
		spec.VAppConfig = copyProperties(source)
	}
	return spec, nil
}

func copyProperties(source *simulator.VirtualMachine) types.BaseVmConfigSpec {
	if source.Config.VAppConfig == nil {
		return nil
	}
	var properties []types.VAppPropertySpec
	for _, property := range source.Config.VAppConfig.GetVmConfigInfo().Property {
		properties = append(properties, types.VAppPropertySpec{
			ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}, Info: &property,
		})
	}
	return &types.VmConfigSpec{Property: properties}
}

// freeInstanceUUID returns the wanted instance UUID, or another when a VM has it already.
func (vc *VCenter) freeInstanceUUID(wanted string) string {
	if wanted == "" {
		return uuid.NewString()
	}
	for _, entity := range vc.registry().All("VirtualMachine") {
		if vm, ok := entity.(*simulator.VirtualMachine); ok && strings.EqualFold(vm.Config.InstanceUuid, wanted) {
			return uuid.NewString()
		}
	}
	return wanted
}

// mergeExtra lays changes over options: an empty value removes a key, and a guestinfo value has its limit.
func mergeExtra(base, changes []types.BaseOptionValue) ([]types.BaseOptionValue, types.BaseMethodFault) {
	merged := make([]types.BaseOptionValue, 0, len(base)+len(changes))
	for _, option := range base {
		value := *option.GetOptionValue()
		merged = append(merged, &value)
	}
	for _, option := range changes {
		value := *option.GetOptionValue()
		if tooLong(&value) {
			return nil, &types.InvalidArgument{InvalidProperty: fmt.Sprintf("configSpec.extraConfig[%q]", value.Key)}
		}
		merged = slices.DeleteFunc(merged, func(o types.BaseOptionValue) bool {
			return o.GetOptionValue().Key == value.Key
		})
		if value.Value != "" {
			merged = append(merged, &value)
		}
	}
	return merged, nil
}

func tooLong(value *types.OptionValue) bool {
	text, ok := value.Value.(string)
	return ok && strings.HasPrefix(value.Key, "guestinfo.") && len(text) > maxGuestInfo
}

// checkCards refuses cards on networks that the host does not have. The simulator would crash.
func (vc *VCenter) checkCards(devices []types.BaseVirtualDevice, host *simulator.HostSystem) types.BaseMethodFault {
	for i, device := range devices {
		card, ok := device.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		if vc.networkOf(card.GetVirtualEthernetCard().Backing, host) == nil {
			return &types.InvalidDeviceSpec{
				InvalidVmConfig: types.InvalidVmConfig{Property: "virtualDeviceSpec.device.backing"}, DeviceIndex: int32(i),
			}
		}
	}
	return nil
}

// networkOf returns the network that a backing means on a host, nil when the host does not have it.
func (vc *VCenter) networkOf(backing types.BaseVirtualDeviceBackingInfo, host *simulator.HostSystem) mo.Reference {
	switch b := backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		for _, ref := range vc.datacenterOf(host).Network {
			network, ok := vc.registry().Get(ref).(*mo.Network)
			if ok && network.Name == b.DeviceName && slices.Contains(network.Host, host.Self) {
				return network
			}
		}
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}
		group, ok := vc.registry().Get(ref).(*simulator.DistributedVirtualPortgroup)
		if ok && slices.Contains(group.Host, host.Self) {
			return group
		}
	case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
		for _, entity := range vc.registry().All("OpaqueNetwork") {
			network, ok := entity.(*mo.OpaqueNetwork)
			if !ok || !slices.Contains(network.Host, host.Self) {
				continue
			}
			if summary, ok := network.Summary.(*types.OpaqueNetworkSummary); ok && summary.OpaqueNetworkId == b.OpaqueNetworkId {
				return network
			}
		}
	}
	return nil
}

// cloneDevices copies devices deeply, in the way they travel.
func cloneDevices(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	var text bytes.Buffer
	if err := xml.NewEncoder(&text).Encode(types.ArrayOfVirtualDevice{VirtualDevice: devices}); err != nil {
		panic(fmt.Sprintf("copying devices: %v", err))
	}
	decoder := xml.NewDecoder(&text)
	decoder.TypeFunc = types.TypeFunc()
	var copied types.ArrayOfVirtualDevice
	if err := decoder.Decode(&copied); err != nil {
		panic(fmt.Sprintf("copying devices: %v", err))
	}
	return copied.VirtualDevice
}

// isDefault tells whether every VM has the device without asking.
func isDefault(devices []types.BaseVirtualDevice, device types.BaseVirtualDevice) bool {
	name := object.VirtualDeviceList(devices).Name(device)
	return object.VirtualDeviceList(esx.VirtualDevice).Find(name) != nil
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func orPointer[T any](value, otherwise *T) *T {
	if value == nil {
		return otherwise
	}
	return value
}

// dirOf returns the directory of a VM, as "[datastore] dir".
func dirOf(vm *simulator.VirtualMachine) string { return path.Dir(vm.Config.Files.VmPathName) }
