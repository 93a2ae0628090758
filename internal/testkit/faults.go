package testkit

import (
	"path"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// FaultRule makes calls fail. Calls of Client are never touched.
type FaultRule struct {
	// Method is the SOAP method, such as CloneVM_Task; "" is any.
	Method string
	// Object is a pattern of path.Match for the name of the object called on or, for a clone or a new folder, of what
	// shall be made; "" is any.
	Object string
	// Skip lets that many matching calls through first.
	Skip int
	// Count is how many calls fail then; 0 means one, negative means all.
	Count int
	// Fault is the answer.
	Fault types.BaseMethodFault
	// AsTask lets a method that starts a task start one that ends with the fault, after the clone's usual delay. Otherwise
	// the call itself is answered with the fault.
	AsTask bool
}

type faultRules struct {
	mu    sync.Mutex
	rules []*FaultRule
}

// Fail adds a rule. Of several rules that match the first added counts.
func (vc *VCenter) Fail(rule FaultRule) {
	if rule.Count == 0 {
		rule.Count = 1
	}
	vc.faults.mu.Lock()
	defer vc.faults.mu.Unlock()
	vc.faults.rules = append(vc.faults.rules, &rule)
}

// ClearFaults removes all rules.
func (vc *VCenter) ClearFaults() {
	vc.faults.mu.Lock()
	defer vc.faults.mu.Unlock()
	vc.faults.rules = nil
}

// match returns the rule that a call falls under, and counts it.
func (f *faultRules) match(method string, names []string) *FaultRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		if (rule.Method != "" && rule.Method != method) || !rule.meets(names) || rule.Count == 0 {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			return nil
		}
		if rule.Count > 0 {
			rule.Count--
		}
		return rule
	}
	return nil
}

func (r *FaultRule) meets(names []string) bool {
	if r.Object == "" {
		return true
	}
	for _, name := range names {
		if ok, err := path.Match(r.Object, name); ok && err == nil {
			return true
		}
	}
	return false
}

// fault says whether a call is to fail: with a fault now, or with a task that fails.
func (vc *VCenter) fault(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session.UserAgent == ownAgent {
		return nil, nil
	}
	var names []string
	if entity, ok := vc.registry().Get(method.This).(mo.Entity); ok {
		names = append(names, nameOf(entity))
	}
	switch body := method.Body.(type) {
	case *types.CloneVM_Task:
		names = []string{body.Name}
	case *types.CreateFolder:
		names = append(names, body.Name)
	}
	rule := vc.faults.match(method.Name, names)
	switch {
	case rule == nil:
		return nil, nil
	case rule.AsTask && strings.HasSuffix(method.Name, "_Task"):
		return &failingTasks{receiver: receiver{ref: method.This}, vc: vc, fault: rule.Fault}, nil
	}
	return nil, rule.Fault
}

// failingTasks starts tasks that fail.
type failingTasks struct {
	receiver
	vc    *VCenter
	fault types.BaseMethodFault
}

func (f *failingTasks) start(name string) types.ManagedObjectReference {
	return f.vc.startTask(f.ref, name, f.vc.options.CloneDelay,
		func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, f.fault })
}

// CloneVMTask fails.
func (f *failingTasks) CloneVMTask(*types.CloneVM_Task) soap.HasFault {
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: f.start(cloneTask)}}
}

// PowerOnVMTask fails.
func (f *failingTasks) PowerOnVMTask(*types.PowerOnVM_Task) soap.HasFault {
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: f.start("powerOn")}}
}

// PowerOnMultiVMTask fails.
func (f *failingTasks) PowerOnMultiVMTask(*types.PowerOnMultiVM_Task) soap.HasFault {
	return &methods.PowerOnMultiVM_TaskBody{Res: &types.PowerOnMultiVM_TaskResponse{Returnval: f.start("powerOnMultiVM")}}
}

// PowerOffVMTask fails.
func (f *failingTasks) PowerOffVMTask(*types.PowerOffVM_Task) soap.HasFault {
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: f.start("powerOff")}}
}

// ReconfigVMTask fails.
func (f *failingTasks) ReconfigVMTask(*types.ReconfigVM_Task) soap.HasFault {
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: f.start("reconfigVm")}}
}

// RelocateVMTask fails.
func (f *failingTasks) RelocateVMTask(*types.RelocateVM_Task) soap.HasFault {
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: f.start("relocateVm")}}
}

// DestroyTask fails.
func (f *failingTasks) DestroyTask(*types.Destroy_Task) soap.HasFault {
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: f.start("destroy")}}
}

// MoveIntoFolderTask fails.
func (f *failingTasks) MoveIntoFolderTask(*types.MoveIntoFolder_Task) soap.HasFault {
	return &methods.MoveIntoFolder_TaskBody{Res: &types.MoveIntoFolder_TaskResponse{Returnval: f.start("moveIntoFolder")}}
}

// CreateVMTask fails.
func (f *failingTasks) CreateVMTask(*types.CreateVM_Task) soap.HasFault {
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: f.start("createVm")}}
}

// CreateSnapshotTask fails.
func (f *failingTasks) CreateSnapshotTask(*types.CreateSnapshot_Task) soap.HasFault {
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: f.start("createSnapshot")}}
}
