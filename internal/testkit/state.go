package testkit

import (
	"path"
	"slices"

	"github.com/vmware/govmomi/simulator"
)

// VMState is what a VM or template is at one moment.
type VMState struct {
	// Exists is false, and all else is empty, when there is no such VM.
	Exists bool
	Name   string
	Moid   string
	// Path and Folder are full inventory paths.
	Path, Folder string
	Template     bool
	// Power is vSphere's word: poweredOn, poweredOff, suspended.
	Power     string
	CPU       int
	MemoryMiB int
	// DiskGiB is the size of the first disk; Disks are the files of all, as "[datastore] dir/file.vmdk".
	DiskGiB int
	Disks   []string
	// LinkedTo is the parent file of the first disk, or "".
	LinkedTo    string
	ExtraConfig map[string]string
	// Host is a name; ComputeCluster, Datastore and ResourcePool are full inventory paths.
	Host, ComputeCluster, Datastore, ResourcePool string
	InstanceUUID                                  string
	Annotation                                    string
	DiskUUIDEnabled                               bool
	// Addresses are what the guest's tools report, the first being the primary one.
	Addresses []string
}

// VM returns the state of a VM or template, by full inventory path or by name. If several VMs have the name, it is the
// first by path.
func (vc *VCenter) VM(name string) *VMState {
	vc.world.RLock()
	defer vc.world.RUnlock()
	vm := vc.machine(name)
	if vm == nil {
		return &VMState{}
	}
	var state *VMState
	ctx := vc.context()
	ctx.WithLock(vm, func() { state = vc.stateOf(vm) })
	return state
}

// machine finds a VM by path or name; nil means there is none. The world is the caller's.
func (vc *VCenter) machine(name string) *simulator.VirtualMachine {
	if path.IsAbs(name) {
		vm, _ := vc.lookup(name).(*simulator.VirtualMachine)
		return vm
	}
	var found *simulator.VirtualMachine
	for _, entity := range vc.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if ok && vm.Name == name && (found == nil || vc.pathOf(&vm.Self) < vc.pathOf(&found.Self)) {
			found = vm
		}
	}
	return found
}

func (vc *VCenter) stateOf(vm *simulator.VirtualMachine) *VMState {
	state := &VMState{
		Exists: true, Name: vm.Name, Moid: vm.Self.Value, Path: vc.pathOf(&vm.Self), Folder: vc.pathOf(vm.Parent),
		Template: vm.Config.Template, Power: string(vm.Runtime.PowerState),
		CPU: int(vm.Config.Hardware.NumCPU), MemoryMiB: int(vm.Config.Hardware.MemoryMB),
		ExtraConfig:  map[string]string{},
		ResourcePool: vc.pathOf(vm.ResourcePool), InstanceUUID: vm.Config.InstanceUuid, Annotation: vm.Config.Annotation,
	}
	if enabled := vm.Config.Flags.DiskUuidEnabled; enabled != nil {
		state.DiskUUIDEnabled = *enabled
	}
	for _, option := range vm.Config.ExtraConfig {
		value := option.GetOptionValue()
		state.ExtraConfig[value.Key], _ = value.Value.(string)
	}
	for i, disk := range disksOf(vm) {
		if i == 0 {
			state.DiskGiB = int(disk.CapacityInBytes / gib)
			state.LinkedTo = parentOf(disk)
		}
		state.Disks = append(state.Disks, fileOf(disk))
	}
	if host, ok := vc.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem); ok {
		state.Host = host.Name
		state.ComputeCluster = vc.pathOf(host.Parent)
	}
	if datastore := vc.datastoreNamed(datastoreOf(vm.Config.Files.VmPathName)); datastore != nil {
		state.Datastore = vc.pathOf(&datastore.Self)
	}
	if vm.Guest != nil {
		for _, nic := range vm.Guest.Net {
			state.Addresses = append(state.Addresses, nic.IpAddress...)
		}
	}
	return state
}

// VMs returns the full inventory paths of all VMs that are no templates, sorted.
func (vc *VCenter) VMs() []string {
	vc.world.RLock()
	defer vc.world.RUnlock()
	var paths []string
	for _, entity := range vc.registry().All("VirtualMachine") {
		if vm, ok := entity.(*simulator.VirtualMachine); ok && !vm.Config.Template {
			paths = append(paths, vc.pathOf(&vm.Self))
		}
	}
	slices.Sort(paths)
	return paths
}
