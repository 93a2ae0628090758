package testkit

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// receiver is what every stand-in for an object of the simulator shares: it takes no lock of the simulator's, as whoever
// calls it has the world.
type receiver struct{ ref types.ManagedObjectReference }

// Reference is part of mo.Reference.
func (r receiver) Reference() types.ManagedObjectReference { return r.ref }

// Lock is part of sync.Locker, by which an object opts out of the simulator's own locking.
func (r receiver) Lock() {}

// Unlock is part of sync.Locker.
func (r receiver) Unlock() {}

// dispatch is asked by the simulator before each call who should answer it. Where the simulator lies it names a stand-in
// that does not; nil leaves the call to the simulator.
func (vc *VCenter) dispatch(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, nil
	}
	standIn, fault := vc.fault(ctx, method)
	if fault != nil {
		return nil, fault
	}
	if standIn == nil {
		standIn = vc.standIn(ctx, method)
	}
	if standIn == nil {
		return nil, nil
	}
	// The simulator prefers an object registered under the method's own reference to the one returned here, so the
	// reference has to be one that nobody has. The body still carries the true one.
	method.This = types.ManagedObjectReference{Type: "StandIn", Value: method.This.Value}
	return standIn, nil
}

func (vc *VCenter) standIn(ctx *simulator.Context, method *simulator.Method) mo.Reference {
	own := receiver{ref: method.This}
	switch object := ctx.Session.Get(method.This).(type) {
	case *simulator.PropertyCollector:
		switch method.Name {
		case "WaitForUpdatesEx", "WaitForUpdates", "CancelWaitForUpdates", "DestroyPropertyCollector":
			return &collectorCalls{receiver: own, vc: vc, collector: object}
		}
	case *simulator.VirtualMachine:
		if machineMethods[method.Name] {
			return &machineCalls{receiver: own, vc: vc, vm: object}
		}
	case *simulator.Folder:
		if method.Name == "Destroy_Task" {
			return &folderCalls{receiver: own, vc: vc, folder: object}
		}
	case *simulator.Datacenter:
		if method.Name == "PowerOnMultiVM_Task" {
			return &datacenterCalls{receiver: own, vc: vc, datacenter: object}
		}
	case *simulator.AuthorizationManager:
		switch method.Name {
		case "FetchUserPrivilegeOnEntities", "HasUserPrivilegeOnEntities", "HasPrivilegeOnEntities":
			return &privilegeCalls{receiver: own, vc: vc, manager: object}
		}
	case *simulator.Datastore:
		if method.Name == "RefreshDatastore" {
			return &datastoreCalls{receiver: own}
		}
	}
	return nil
}

// refusal is the answer to a call that is refused at once.
type refusal struct{ fault *soap.Fault }

// Fault is part of soap.HasFault.
func (r *refusal) Fault() *soap.Fault { return r.fault }

func refused(fault types.BaseMethodFault) soap.HasFault {
	return &refusal{fault: simulator.Fault(describe(fault), fault)}
}
