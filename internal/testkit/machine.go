package testkit

import (
	"path"
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// machineMethods are the methods of virtual machines that machineCalls answers.
var machineMethods = map[string]bool{
	"CloneVM_Task": true, "PowerOnVM_Task": true, "PowerOffVM_Task": true, "ReconfigVM_Task": true, "Destroy_Task": true,
	"RelocateVM_Task": true, "ResetVM_Task": true, "ShutdownGuest": true,
}

// machineCalls answers for a virtual machine as vCenter would.
type machineCalls struct {
	receiver
	vc *VCenter
	vm *simulator.VirtualMachine
}

// run starts a task on the VM.
func (m *machineCalls) run(name string, do func(*simulator.Context) types.BaseMethodFault) types.ManagedObjectReference {
	return m.vc.startTask(m.vm.Self, name, 0, func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if m.vc.registry().Get(m.vm.Self) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: m.vm.Self}
		}
		return nil, do(ctx)
	})
}

// ReconfigVMTask changes the VM, with the limits that vCenter sets.
func (m *machineCalls) ReconfigVMTask(_ *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	task := m.run("reconfigVm", func(ctx *simulator.Context) types.BaseMethodFault {
		return m.vc.reconfigure(ctx, m.vm, req.Spec)
	})
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task}}
}

// DestroyTask removes the VM with all its disks, if it is powered off.
func (m *machineCalls) DestroyTask(_ *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	task := m.run("destroy", func(ctx *simulator.Context) types.BaseMethodFault { return m.vc.destroy(ctx, m.vm) })
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// RelocateVMTask moves the VM to another folder, pool, host or datastore.
func (m *machineCalls) RelocateVMTask(_ *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	clone := &types.CloneVM_Task{Spec: types.VirtualMachineCloneSpec{Location: req.Spec}, Folder: *m.vm.Parent}
	if fault := m.vc.checkReferences(clone); fault != nil {
		return refused(fault)
	}
	task := m.run("relocateVm", func(ctx *simulator.Context) types.BaseMethodFault {
		return m.vc.relocate(ctx, m.vm, req.Spec)
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: task}}
}

// ResetVMTask turns the VM off and on.
func (m *machineCalls) ResetVMTask(_ *simulator.Context, _ *types.ResetVM_Task) soap.HasFault {
	task := m.run("reset", func(ctx *simulator.Context) types.BaseMethodFault {
		if fault := m.vc.powerOff(ctx, m.vm); fault != nil {
			return fault
		}
		return m.vc.powerOn(ctx, m.vm)
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

// ShutdownGuest asks the guest to stop, which it does, if its tools run.
func (m *machineCalls) ShutdownGuest(_ *simulator.Context, _ *types.ShutdownGuest) soap.HasFault {
	if state := m.vm.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOn {
		return refused(&types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: state,
		})
	}
	if m.vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		return refused(&types.ToolsUnavailable{})
	}
	m.run("shutdownGuest", func(ctx *simulator.Context) types.BaseMethodFault { return m.vc.powerOff(ctx, m.vm) })
	return &methods.ShutdownGuestBody{Res: &types.ShutdownGuestResponse{}}
}

func (vc *VCenter) reconfigure(
	ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineConfigSpec,
) types.BaseMethodFault {
	if lost(vm) {
		return &types.InvalidState{}
	}
	if fault := checkHotPlug(vm, spec); fault != nil {
		return fault
	}
	extra, fault := presentOptions(vm, spec.ExtraConfig)
	if fault != nil {
		return fault
	}
	spec.ExtraConfig = extra
	if fault := vc.checkDeviceChanges(vm, spec.DeviceChange); fault != nil {
		return fault
	}
	if spec.InstanceUuid != "" && spec.InstanceUuid != vm.Config.InstanceUuid {
		spec.InstanceUuid = vc.freeInstanceUUID(spec.InstanceUuid)
	}
	request := &types.ReconfigVM_Task{This: vm.Self, Spec: spec}
	if _, fault := vc.settle(vm.ReconfigVMTask(ctx, request)); fault != nil {
		return fault
	}
	// The simulator sets these without telling those who watch them.
	ctx.WithLock(vm, func() {
		ctx.Update(vm, []types.PropertyChange{
			{Name: "config.hardware.numCPU", Val: vm.Config.Hardware.NumCPU},
			{Name: "config.hardware.memoryMB", Val: vm.Config.Hardware.MemoryMB},
			{Name: "config.instanceUuid", Val: vm.Config.InstanceUuid},
			{Name: "config.annotation", Val: vm.Config.Annotation},
			{Name: "name", Val: vm.Name},
		})
	})
	vc.accountSpace()
	return nil
}

// checkHotPlug refuses what only a VM that is off, or one made for it, can take.
func checkHotPlug(vm *simulator.VirtualMachine, spec types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return nil
	}
	hot := func(enabled *bool) bool { return enabled != nil && *enabled }
	cpus, memory := vm.Config.Hardware.NumCPU, int64(vm.Config.Hardware.MemoryMB)
	if spec.NumCPUs != 0 && spec.NumCPUs != cpus && (!hot(vm.Config.CpuHotAddEnabled) || spec.NumCPUs < cpus) {
		return &types.CpuHotPlugNotSupported{}
	}
	if spec.MemoryMB != 0 && spec.MemoryMB != memory && (!hot(vm.Config.MemoryHotAddEnabled) || spec.MemoryMB < memory) {
		return &types.MemoryHotPlugNotSupported{}
	}
	return nil
}

// presentOptions leaves out the removal of keys that the VM does not have: the simulator would store them as "".
func presentOptions(
	vm *simulator.VirtualMachine, changes []types.BaseOptionValue,
) ([]types.BaseOptionValue, types.BaseMethodFault) {
	if _, fault := mergeExtra(nil, changes); fault != nil {
		return nil, fault
	}
	present := map[string]bool{}
	for _, option := range vm.Config.ExtraConfig {
		present[option.GetOptionValue().Key] = true
	}
	return slices.DeleteFunc(slices.Clone(changes), func(option types.BaseOptionValue) bool {
		value := option.GetOptionValue()
		return value.Value == "" && !present[value.Key]
	}), nil
}

// checkDeviceChanges refuses what would crash the simulator or overfill a datastore, and growing a linked disk.
func (vc *VCenter) checkDeviceChanges(
	vm *simulator.VirtualMachine, changes []types.BaseVirtualDeviceConfigSpec,
) types.BaseMethodFault {
	host, _ := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem)
	needed := map[*simulator.Datastore]int64{}
	for i, c := range changes {
		change := c.GetVirtualDeviceConfigSpec()
		if change.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			continue
		}
		disk, ok := change.Device.(*types.VirtualDisk)
		if !ok {
			if fault := vc.checkCards([]types.BaseVirtualDevice{change.Device}, host); fault != nil {
				return &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
			}
			continue
		}
		size, file := disk.CapacityInBytes, or(datastoreOf(fileOf(disk)), datastoreOf(vm.Config.Files.VmPathName))
		for _, existing := range disksOf(vm) {
			if existing.Key != disk.Key {
				continue
			}
			size = wantedSize(existing, disk) - existing.CapacityInBytes
			if size != 0 && parentOf(existing) != "" {
				return &types.InvalidDeviceOperation{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: int32(i)}}
			}
		}
		if datastore := vc.datastoreNamed(file); datastore != nil {
			needed[datastore] += size
		}
	}
	return checkSpace(needed, vm.Name)
}

func (vc *VCenter) destroy(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if state := vm.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOff {
		return &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: state,
		}
	}
	if lost(vm) {
		return vc.unregister(ctx, vm)
	}
	var removals []types.BaseVirtualDeviceConfigSpec
	for _, disk := range disksOf(vm) {
		removals = append(removals, &types.VirtualDeviceConfigSpec{
			Operation:     types.VirtualDeviceConfigSpecOperationRemove,
			FileOperation: types.VirtualDeviceConfigSpecFileOperationDestroy,
			Device:        disk,
		})
	}
	// A template takes no change of devices, but it goes with its disks like any VM.
	ctx.WithLock(vm, func() { vm.Config.Template = false })
	request := &types.ReconfigVM_Task{This: vm.Self, Spec: types.VirtualMachineConfigSpec{DeviceChange: removals}}
	if _, fault := vc.settle(vm.ReconfigVMTask(ctx, request)); fault != nil {
		return fault
	}
	// The simulator's own Destroy_Task leaves the directory to a task that nobody can wait for.
	dc := vc.datacenterOf(vm)
	var body soap.HasFault
	ctx.WithLock(vm, func() { body = vm.UnregisterVM(ctx, &types.UnregisterVM{This: vm.Self}) })
	if _, fault := vc.settle(body); fault != nil {
		return fault
	}
	_, _ = vc.settle(ctx.Map.FileManager().DeleteDatastoreFileTask(ctx, &types.DeleteDatastoreFile_Task{
		Name: vm.Config.Files.LogDirectory, Datacenter: &dc.Self,
	}))
	vc.forgetGuest(vm)
	vc.accountSpace()
	return nil
}

// lost tells whether a VM's datastore is gone.
func lost(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.ConnectionState == types.VirtualMachineConnectionStateInaccessible
}

// unregister takes a VM out of the inventory whose files nobody can reach.
func (vc *VCenter) unregister(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if host, ok := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem); ok {
		ctx.Map.RemoveReference(ctx, host, &host.Vm, vm.Self)
	}
	if vm.ResourcePool != nil {
		if pool, ok := vc.registry().Get(*vm.ResourcePool).(*simulator.ResourcePool); ok {
			ctx.Map.RemoveReference(ctx, pool, &pool.Vm, vm.Self)
		}
	}
	if folder, ok := vc.registry().Get(*vm.Parent).(*simulator.Folder); ok {
		ctx.Map.RemoveReference(ctx, folder, &folder.ChildEntity, vm.Self)
	}
	ctx.Map.Remove(ctx, vm.Self)
	vc.forgetGuest(vm)
	return nil
}

// relocate moves a VM. The parts of the location that are not given stay.
func (vc *VCenter) relocate(
	ctx *simulator.Context, vm *simulator.VirtualMachine, location types.VirtualMachineRelocateSpec,
) types.BaseMethodFault {
	if lost(vm) {
		return &types.InvalidState{}
	}
	if location.Folder != nil {
		if fault := vc.moveToFolder(ctx, vm, *location.Folder); fault != nil {
			return fault
		}
	}
	if location.Pool == nil && location.Host == nil && location.Datastore == nil {
		return nil
	}
	if location.Host == nil && vc.staysInCluster(vm, location.Pool) {
		location.Host = vm.Runtime.Host
	}
	place, fault := vc.place(vm, &location)
	if fault != nil {
		return fault
	}
	if fault := vc.checkCards(vm.Config.Hardware.Device, place.host); fault != nil {
		return fault
	}
	if datastoreOf(vm.Config.Files.VmPathName) != place.datastore.Name {
		if fault := vc.moveFiles(ctx, vm, place.datastore); fault != nil {
			return fault
		}
	}
	vc.moveToPlace(ctx, vm, place)
	vc.accountSpace()
	return nil
}

func (vc *VCenter) staysInCluster(vm *simulator.VirtualMachine, pool *types.ManagedObjectReference) bool {
	if pool == nil {
		return true
	}
	target, ok := vc.registry().Get(*pool).(*simulator.ResourcePool)
	host, isHost := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem)
	return ok && isHost && *host.Parent == target.Owner
}

func (vc *VCenter) moveToFolder(
	ctx *simulator.Context, vm *simulator.VirtualMachine, ref types.ManagedObjectReference,
) types.BaseMethodFault {
	folder, ok := vc.registry().Get(ref).(*simulator.Folder)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: ref}
	}
	if *vm.Parent == ref {
		return nil
	}
	if twin := ctx.Map.FindByName(vm.Name, folder.ChildEntity); twin != nil {
		return &types.DuplicateName{Name: vm.Name, Object: twin.Reference()}
	}
	request := &types.MoveIntoFolder_Task{This: ref, List: []types.ManagedObjectReference{vm.Self}}
	if _, fault := vc.settle(folder.MoveIntoFolderTask(ctx, request)); fault != nil {
		return fault
	}
	ctx.WithLock(vm, func() { ctx.Update(vm, []types.PropertyChange{{Name: "parent", Val: &ref}}) })
	return nil
}

// moveToPlace changes the references between a VM and its pool and host.
func (vc *VCenter) moveToPlace(ctx *simulator.Context, vm *simulator.VirtualMachine, place placement) {
	if vm.ResourcePool != nil {
		if old, ok := vc.registry().Get(*vm.ResourcePool).(*simulator.ResourcePool); ok {
			ctx.Map.RemoveReference(ctx, old, &old.Vm, vm.Self)
		}
	}
	if pool, ok := vc.registry().Get(place.pool).(*simulator.ResourcePool); ok {
		ctx.Map.AddReference(ctx, pool, &pool.Vm, vm.Self)
	}
	if old, ok := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem); ok {
		ctx.Map.RemoveReference(ctx, old, &old.Vm, vm.Self)
	}
	ctx.Map.AddReference(ctx, place.host, &place.host.Vm, vm.Self)
	ctx.WithLock(vm, func() {
		ctx.Update(vm, []types.PropertyChange{
			{Name: "resourcePool", Val: &place.pool},
			{Name: "runtime.host", Val: &place.host.Self},
			{Name: "summary.runtime.host", Val: &place.host.Self},
		})
	})
}

// moveFiles moves a VM's own directory and the disks in it to another datastore. Disks that lie elsewhere stay.
func (vc *VCenter) moveFiles(
	ctx *simulator.Context, vm *simulator.VirtualMachine, target *simulator.Datastore,
) types.BaseMethodFault {
	dc := vc.datacenterOf(vm)
	manager := ctx.Map.FileManager()
	disks := ctx.Map.VirtualDiskManager()
	oldDir, newDir := dirOf(vm), "["+target.Name+"] "+vm.Name
	_, _ = vc.settle(manager.MakeDirectory(ctx, &types.MakeDirectory{Name: newDir, Datacenter: &dc.Self}))
	needed := map[*simulator.Datastore]int64{}
	for _, disk := range disksOf(vm) {
		if path.Dir(fileOf(disk)) == oldDir {
			needed[target] += disk.CapacityInBytes
		}
	}
	if fault := checkSpace(needed, vm.Name); fault != nil {
		return fault
	}
	devices := cloneDevices(vm.Config.Hardware.Device)
	for _, device := range devices {
		disk, ok := device.(*types.VirtualDisk)
		if !ok || path.Dir(fileOf(disk)) != oldDir {
			continue
		}
		backing, _ := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		file := newDir + "/" + path.Base(backing.FileName)
		_, fault := vc.settle(disks.MoveVirtualDiskTask(ctx, &types.MoveVirtualDisk_Task{
			SourceName: backing.FileName, SourceDatacenter: &dc.Self, DestName: file, DestDatacenter: &dc.Self,
		}))
		if fault != nil {
			return fault
		}
		backing.FileName, backing.Datastore = file, &target.Self
		// Moved to another datastore a linked clone becomes whole.
		backing.Parent = nil
	}
	vc.moveConfig(ctx, vm, devices, newDir, target)
	return nil
}

func (vc *VCenter) moveConfig(
	ctx *simulator.Context, vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice, dir string,
	target *simulator.Datastore,
) {
	if old := vc.datastoreNamed(datastoreOf(vm.Config.Files.VmPathName)); old != nil {
		ctx.Map.RemoveReference(ctx, old, &old.Vm, vm.Self)
	}
	ctx.Map.AddReference(ctx, target, &target.Vm, vm.Self)
	files := vm.Config.Files
	files.VmPathName = dir + "/" + vm.Name + ".vmx"
	files.SnapshotDirectory, files.SuspendDirectory, files.LogDirectory = dir, dir, dir
	refs := []types.ManagedObjectReference{target.Self}
	for _, disk := range object.VirtualDeviceList(devices).SelectByType((*types.VirtualDisk)(nil)) {
		d, _ := disk.(*types.VirtualDisk)
		if holder := vc.datastoreNamed(datastoreOf(fileOf(d))); holder != nil && !slices.Contains(refs, holder.Self) {
			refs = append(refs, holder.Self)
		}
	}
	ctx.WithLock(vm, func() {
		vm.LayoutEx.File, vm.Layout.ConfigFile, vm.Layout.LogFile = nil, nil, nil
		ctx.Update(vm, []types.PropertyChange{
			{Name: "config.files", Val: files},
			{Name: "summary.config.vmPathName", Val: files.VmPathName},
			{Name: "config.hardware.device", Val: devices},
			{Name: "datastore", Val: refs},
		})
	})
}
