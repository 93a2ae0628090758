package testkit

import (
	"fmt"
	"path"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// The actions of this file are those of somebody else: they go past the server, so nothing counts them and no fault or
// hook hits them. They take full inventory paths, or names of VMs, and are over when they return.

// outside does something with the world to itself.
func (vc *VCenter) outside(what string, do func(ctx *simulator.Context) error) error {
	vc.world.Lock()
	defer vc.world.Unlock()
	if err := do(vc.context()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (vc *VCenter) onMachine(
	what, name string, do func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault,
) error {
	return vc.outside(what+" "+name, func(ctx *simulator.Context) error {
		vm := vc.machine(name)
		if vm == nil {
			return errNotFound
		}
		return asError(do(ctx, vm))
	})
}

func asError(fault types.BaseMethodFault) error {
	if fault == nil {
		return nil
	}
	return &faultError{fault: fault}
}

// DestroyVM powers a VM off and destroys it with its disks.
func (vc *VCenter) DestroyVM(name string) error {
	return vc.onMachine("destroying", name, vc.stopAndDestroy)
}

func (vc *VCenter) stopAndDestroy(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
		if fault := vc.powerOff(ctx, vm); fault != nil {
			return fault
		}
	}
	return vc.destroy(ctx, vm)
}

// DestroyTemplate destroys a template with its disks.
func (vc *VCenter) DestroyTemplate(name string) error {
	return vc.onMachine("destroying", name, vc.destroy)
}

// PowerOffVM switches a VM off.
func (vc *VCenter) PowerOffVM(name string) error {
	return vc.onMachine("powering off", name, vc.powerOff)
}

// PowerOnVM switches a VM on.
func (vc *VCenter) PowerOnVM(name string) error {
	return vc.onMachine("powering on", name, vc.powerOn)
}

// ResizeVM sets CPUs and memory, as hot-plug would where the VM runs; 0 leaves one as it is.
func (vc *VCenter) ResizeVM(name string, cpu, memoryMiB int) error {
	return vc.onMachine("resizing", name, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		spec := types.VirtualMachineConfigSpec{NumCPUs: int32(cpu), MemoryMB: int64(memoryMiB)}
		_, fault := vc.settle(vm.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: vm.Self, Spec: spec}))
		if fault != nil {
			return fault
		}
		// The simulator has set them; this tells those who watch.
		return vc.reconfigure(ctx, vm, types.VirtualMachineConfigSpec{})
	})
}

// SetExtraConfig sets one option of a VM's extraConfig; "" removes it.
func (vc *VCenter) SetExtraConfig(name, key, value string) error {
	return vc.onMachine("changing", name, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		ctx.WithLock(vm, func() { setOption(ctx, vm, key, value) })
		return nil
	})
}

// MoveVM moves a VM to a folder, a resource pool, a compute cluster's root pool, a host or a datastore, whatever the
// target's path says.
func (vc *VCenter) MoveVM(name, target string) error {
	return vc.onMachine("moving", name, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		location := types.VirtualMachineRelocateSpec{}
		switch to := vc.lookup(target).(type) {
		case *simulator.Folder:
			location.Folder = &to.Self
		case *simulator.ResourcePool:
			location.Pool = &to.Self
		case *simulator.ClusterComputeResource:
			location.Pool = to.ResourcePool
		case *simulator.HostSystem:
			location.Host = &to.Self
		case *simulator.Datastore:
			location.Datastore = &to.Self
		default:
			return &types.InvalidArgument{InvalidProperty: target}
		}
		return vc.relocate(ctx, vm, location)
	})
}

// AttachForeignDisk makes a disk of 5 GiB at a file such as "[vsan-prod] data/volume.vmdk" and attaches it to a VM.
func (vc *VCenter) AttachForeignDisk(name, file string) error {
	return vc.onMachine("attaching a disk to", name,
		func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
			const sizeGiB = 5
			dc := vc.datacenterOf(vm)
			manager := ctx.Map.FileManager()
			_, _ = vc.settle(manager.MakeDirectory(ctx, &types.MakeDirectory{
				Name: path.Dir(file), Datacenter: &dc.Self, CreateParentDirectories: types.NewBool(true),
			}))
			_, fault := vc.settle(ctx.Map.VirtualDiskManager().CreateVirtualDiskTask(ctx, &types.CreateVirtualDisk_Task{
				Name: file, Datacenter: &dc.Self, Spec: &types.FileBackedVirtualDiskSpec{CapacityKb: sizeGiB * gib / 1024},
			}))
			if fault != nil {
				return fault
			}
			key := int32(diskKey)
			for _, disk := range disksOf(vm) {
				key = max(key, disk.Key+1)
			}
			disk := newDisk(key, key-diskKey, sizeGiB)
			if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
				backing.FileName = file
			}
			return vc.reconfigure(ctx, vm, types.VirtualMachineConfigSpec{
				DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
					Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: disk,
				}},
			})
		})
}

// DiskExists tells whether a disk's file, such as "[vsan-prod] data/volume.vmdk", is on its datastore.
func (vc *VCenter) DiskExists(file string) bool {
	vc.world.RLock()
	defer vc.world.RUnlock()
	datastore := vc.datastoreNamed(datastoreOf(file))
	if datastore == nil {
		return false
	}
	ctx := vc.context()
	query := &types.QueryVirtualDiskUuid{Name: file, Datacenter: &vc.datacenterOf(datastore).Self}
	return ctx.Map.VirtualDiskManager().QueryVirtualDiskUuid(ctx, query).Fault() == nil
}

// CopyVM clones a VM into its own folder, powered off, as a backup tool does: extraConfig comes along, the instance UUID is
// new.
func (vc *VCenter) CopyVM(name, newName string) error {
	return vc.onMachine("copying", name, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		_, fault := vc.clone(ctx, vm, &types.CloneVM_Task{
			This: vm.Self, Folder: *vm.Parent, Name: newName,
			Spec: types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Host: vm.Runtime.Host}},
		})
		return fault
	})
}

// CreateForeignVM creates a small VM, powered off, in a folder of dc-north.
func (vc *VCenter) CreateForeignVM(folder, name string) error {
	return vc.outside("creating "+name, func(*simulator.Context) error {
		_, err := vc.addMachine(machinePlan{
			path: path.Join(folder, name), cluster: ClusterProdA, datastore: DatastoreVSAN, network: NetworkStandard,
			guestID: ubuntu, cpu: 1, memoryMiB: 1024, diskGiB: 8,
		})
		vc.accountSpace()
		return err
	})
}

// DestroyFolder destroys a folder with all VMs below it, running or not.
func (vc *VCenter) DestroyFolder(folderPath string) error {
	return vc.outside("destroying "+folderPath, func(ctx *simulator.Context) error {
		folder, err := objectAt[*simulator.Folder](vc, folderPath)
		if err != nil {
			return err
		}
		for _, vm := range vc.machinesBelow(folder) {
			if fault := vc.stopAndDestroy(ctx, vm); fault != nil {
				return asError(fault)
			}
		}
		return asError(vc.destroyFolder(ctx, folder))
	})
}

// DestroyDatastore takes a datastore away from all hosts. VMs on it become inaccessible.
func (vc *VCenter) DestroyDatastore(datastorePath string) error {
	return vc.outside("destroying "+datastorePath, func(ctx *simulator.Context) error {
		datastore, err := objectAt[*simulator.Datastore](vc, datastorePath)
		if err != nil {
			return err
		}
		vc.orphan(ctx, datastore)
		for _, mount := range datastore.Host {
			host, ok := vc.registry().Get(mount.Key).(*simulator.HostSystem)
			if !ok {
				continue
			}
			ctx.Map.RemoveReference(ctx, host, &host.Datastore, datastore.Self)
			if cluster, ok := vc.registry().Get(*host.Parent).(*simulator.ClusterComputeResource); ok {
				ctx.Map.RemoveReference(ctx, cluster, &cluster.Datastore, datastore.Self)
			}
		}
		dc := vc.datacenterOf(datastore)
		ctx.Map.RemoveReference(ctx, dc, &dc.Datastore, datastore.Self)
		switch parent := vc.registry().Get(*datastore.Parent).(type) {
		case *simulator.Folder:
			ctx.Map.RemoveReference(ctx, parent, &parent.ChildEntity, datastore.Self)
		case *simulator.StoragePod:
			ctx.Map.RemoveReference(ctx, parent, &parent.ChildEntity, datastore.Self)
		}
		ctx.Map.Remove(ctx, datastore.Self)
		vc.accountSpace()
		return nil
	})
}

// orphan switches off and marks the VMs of a datastore that is about to go.
func (vc *VCenter) orphan(ctx *simulator.Context, datastore *simulator.Datastore) {
	for _, entity := range vc.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if !ok || !slices.Contains(vm.Datastore, datastore.Self) {
			continue
		}
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			_ = vc.powerOff(ctx, vm)
		}
		state := types.VirtualMachineConnectionStateInaccessible
		ctx.WithLock(vm, func() {
			ctx.Update(vm, []types.PropertyChange{
				{Name: "runtime.connectionState", Val: state},
				{Name: "summary.runtime.connectionState", Val: state},
				{Name: "datastore", Val: slices.DeleteFunc(slices.Clone(vm.Datastore), func(r types.ManagedObjectReference) bool {
					return r == datastore.Self
				})},
			})
		})
	}
}

// SetMaintenance puts a datastore into maintenance mode.
func (vc *VCenter) SetMaintenance(datastorePath string) error {
	return vc.outside("maintaining "+datastorePath, func(ctx *simulator.Context) error {
		datastore, err := objectAt[*simulator.Datastore](vc, datastorePath)
		if err != nil {
			return err
		}
		ctx.WithLock(datastore, func() {
			ctx.Update(datastore, []types.PropertyChange{{
				Name: "summary.maintenanceMode", Val: string(types.DatastoreSummaryMaintenanceModeStateInMaintenance),
			}})
		})
		return nil
	})
}

// SetHostMaintenance puts a host into maintenance mode. Its VMs stay.
func (vc *VCenter) SetHostMaintenance(hostPath string) error {
	return vc.outside("maintaining "+hostPath, func(ctx *simulator.Context) error {
		host, err := objectAt[*simulator.HostSystem](vc, hostPath)
		if err != nil {
			return err
		}
		ctx.WithLock(host, func() {
			ctx.Update(host, []types.PropertyChange{
				{Name: "runtime.inMaintenanceMode", Val: true},
				{Name: "summary.runtime.inMaintenanceMode", Val: true},
			})
		})
		return nil
	})
}

// AddTemplate publishes a template like Template134 in dc-north with a kubeadm of another version.
func (vc *VCenter) AddTemplate(templatePath, version string) error {
	return vc.outside("adding "+templatePath, func(*simulator.Context) error {
		vm, err := vc.addMachine(machinePlan{
			path: templatePath, cluster: ClusterProdA, datastore: DatastoreVSAN, network: NetworkK8s120, guestID: ubuntu,
			cpu: 2, memoryMiB: 2048, diskGiB: TemplateDiskGiB, semver: version, snapshot: true, template: true,
		})
		if err != nil {
			return err
		}
		vc.guests.setImage(vm.Self, version)
		vc.accountSpace()
		return nil
	})
}
