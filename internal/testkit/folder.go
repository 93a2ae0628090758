package testkit

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// folderCalls answers for a folder as vCenter would.
type folderCalls struct {
	receiver
	vc     *VCenter
	folder *simulator.Folder
}

// DestroyTask removes the folder with everything inside, unless a VM inside runs: then it removes nothing.
func (f *folderCalls) DestroyTask(_ *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	task := f.vc.startTask(f.folder.Self, "destroy", 0,
		func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return nil, f.vc.destroyFolder(ctx, f.folder)
		})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// MoveIntoFolderTask moves entities into the folder and tells those who watch a VM of its new parent, which the simulator
// leaves out.
func (f *folderCalls) MoveIntoFolderTask(_ *simulator.Context, req *types.MoveIntoFolder_Task) soap.HasFault {
	task := f.vc.startTask(f.folder.Self, "moveIntoFolder", 0,
		func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
			for _, ref := range req.List {
				if fault := f.vc.moveEntity(ctx, f.folder, ref); fault != nil {
					return nil, fault
				}
			}
			return nil, nil
		})
	return &methods.MoveIntoFolder_TaskBody{Res: &types.MoveIntoFolder_TaskResponse{Returnval: task}}
}

func (vc *VCenter) moveEntity(
	ctx *simulator.Context, folder *simulator.Folder, ref types.ManagedObjectReference,
) types.BaseMethodFault {
	if vm, ok := vc.registry().Get(ref).(*simulator.VirtualMachine); ok {
		return vc.moveToFolder(ctx, vm, folder.Self)
	}
	request := &types.MoveIntoFolder_Task{This: folder.Self, List: []types.ManagedObjectReference{ref}}
	_, fault := vc.settle(folder.MoveIntoFolderTask(ctx, request))
	return fault
}

func (vc *VCenter) destroyFolder(ctx *simulator.Context, folder *simulator.Folder) types.BaseMethodFault {
	if vc.registry().Get(folder.Self) == nil {
		return &types.ManagedObjectNotFound{Obj: folder.Self}
	}
	vms := vc.machinesBelow(folder)
	for _, vm := range vms {
		if state := vm.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOff {
			return &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: state,
			}
		}
	}
	for _, vm := range vms {
		if fault := vc.destroy(ctx, vm); fault != nil {
			return fault
		}
	}
	for _, ref := range append([]types.ManagedObjectReference(nil), folder.ChildEntity...) {
		if child, ok := vc.registry().Get(ref).(*simulator.Folder); ok {
			if fault := vc.destroyFolder(ctx, child); fault != nil {
				return fault
			}
		}
	}
	_, fault := vc.settle(folder.DestroyTask(ctx, &types.Destroy_Task{This: folder.Self}))
	return fault
}

func (vc *VCenter) machinesBelow(folder *simulator.Folder) []*simulator.VirtualMachine {
	var vms []*simulator.VirtualMachine
	for _, ref := range folder.ChildEntity {
		switch child := vc.registry().Get(ref).(type) {
		case *simulator.VirtualMachine:
			vms = append(vms, child)
		case *simulator.Folder:
			vms = append(vms, vc.machinesBelow(child)...)
		}
	}
	return vms
}

// datacenterCalls answers for a datacenter as vCenter would.
type datacenterCalls struct {
	receiver
	vc         *VCenter
	datacenter *simulator.Datacenter
}

// PowerOnMultiVMTask powers on VMs, each by a task of its own. The simulator would start no guests.
func (d *datacenterCalls) PowerOnMultiVMTask(_ *simulator.Context, req *types.PowerOnMultiVM_Task) soap.HasFault {
	result := types.ClusterPowerOnVmResult{}
	for _, ref := range req.Vm {
		vm, ok := d.vc.registry().Get(ref).(*simulator.VirtualMachine)
		if !ok {
			return refused(&types.ManagedObjectNotFound{Obj: ref})
		}
		calls := &machineCalls{receiver: receiver{ref: ref}, vc: d.vc, vm: vm}
		task := calls.run("powerOn", func(ctx *simulator.Context) types.BaseMethodFault { return d.vc.powerOn(ctx, vm) })
		result.Attempted = append(result.Attempted, types.ClusterAttemptedVmInfo{Vm: ref, Task: &task})
	}
	task := d.vc.startTask(d.datacenter.Self, "powerOnMultiVM", 0,
		func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return result, nil })
	return &methods.PowerOnMultiVM_TaskBody{Res: &types.PowerOnMultiVM_TaskResponse{Returnval: task}}
}

// datastoreCalls answers for a datastore as vCenter would.
type datastoreCalls struct{ receiver }

// RefreshDatastore changes nothing: the numbers are always fresh. The simulator would invent others.
func (d *datastoreCalls) RefreshDatastore(_ *simulator.Context, _ *types.RefreshDatastore) soap.HasFault {
	return &methods.RefreshDatastoreBody{Res: &types.RefreshDatastoreResponse{}}
}
