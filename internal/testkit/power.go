package testkit

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// PowerOnVMTask starts the VM and its guest.
func (m *machineCalls) PowerOnVMTask(_ *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	if m.vm.Config.Template {
		return refused(&types.InvalidState{})
	}
	task := m.run("powerOn", func(ctx *simulator.Context) types.BaseMethodFault { return m.vc.powerOn(ctx, m.vm) })
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

// PowerOffVMTask stops the VM and its guest, and with it everything the guest's tools said.
func (m *machineCalls) PowerOffVMTask(_ *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	task := m.run("powerOff", func(ctx *simulator.Context) types.BaseMethodFault { return m.vc.powerOff(ctx, m.vm) })
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

func (vc *VCenter) powerOn(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if lost(vm) {
		return &types.InvalidState{}
	}
	if _, fault := vc.settle(vm.PowerOnVMTask(ctx, &types.PowerOnVM_Task{This: vm.Self})); fault != nil {
		return fault
	}
	vc.bootGuest(vm)
	return nil
}

func (vc *VCenter) powerOff(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	if _, fault := vc.settle(vm.PowerOffVMTask(ctx, &types.PowerOffVM_Task{This: vm.Self})); fault != nil {
		return fault
	}
	vc.haltGuest(vm)
	ctx.WithLock(vm, func() { publishGuest(ctx, vm, asleep(vm.Config.GuestId)) })
	return nil
}

// asleep is what vCenter knows of a guest that does not run.
func asleep(guestID string) *types.GuestInfo {
	return &types.GuestInfo{
		GuestId:             guestID,
		ToolsStatus:         types.VirtualMachineToolsStatusToolsNotRunning,
		ToolsVersionStatus2: string(types.VirtualMachineToolsVersionStatusGuestToolsUnmanaged),
		ToolsRunningStatus:  string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning),
		ToolsVersion:        "12389",
		GuestState:          string(types.VirtualMachineGuestStateNotRunning),
	}
}

// publishGuest replaces what vCenter knows of a guest. The VM's lock is the caller's.
func publishGuest(ctx *simulator.Context, vm *simulator.VirtualMachine, info *types.GuestInfo) {
	summary := &types.VirtualMachineGuestSummary{
		GuestId: info.GuestId, ToolsStatus: info.ToolsStatus, ToolsRunningStatus: info.ToolsRunningStatus,
		ToolsVersionStatus2: info.ToolsVersionStatus2, HostName: info.HostName, IpAddress: info.IpAddress,
	}
	// Collectors watch single properties, so each is told besides the whole.
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest", Val: info},
		{Name: "summary.guest", Val: summary},
		{Name: "guest.net", Val: info.Net},
		{Name: "guest.ipAddress", Val: info.IpAddress},
		{Name: "guest.hostName", Val: info.HostName},
		{Name: "guest.toolsRunningStatus", Val: info.ToolsRunningStatus},
		{Name: "summary.guest.ipAddress", Val: info.IpAddress},
	})
}
