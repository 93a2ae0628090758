package testkit

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// idCounters number what this package adds to the inventory.
type idCounters struct{ task, mac, placed atomic.Int64 }

// ownTask begins the ids of this package's tasks.
const ownTask = "task-own-"

func isOwnTask(ref types.ManagedObjectReference) bool { return strings.HasPrefix(ref.Value, ownTask) }

// work is what a task does once its delay is over. It has the world to itself.
type work func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault)

// startTask starts a task on an object and returns its reference at once. Unlike the simulator's tasks it locks nothing
// while it is delayed, and it ends when the vCenter does.
func (vc *VCenter) startTask(entity mo.Reference, name string, delay time.Duration, do work) types.ManagedObjectReference {
	ctx := vc.context()
	task := simulator.CreateTask(entity.Reference(), name, nil)
	task.Self = types.ManagedObjectReference{Type: "Task", Value: fmt.Sprintf("%s%d", ownTask, vc.counters.task.Add(1))}
	task.Info.Key = task.Self.Value
	task.Info.Task = task.Self
	if e, ok := vc.registry().Get(entity.Reference()).(mo.Entity); ok {
		task.Info.EntityName = e.Entity().Name
	}
	task.Info.Reason = &types.TaskReasonUser{UserName: Username} // nobody else can log in
	task.Info.State = types.TaskInfoStateRunning
	task.Info.StartTime = types.NewTime(time.Now())
	ctx.Map.Put(task)

	vc.work.Go(func() {
		if delay > 0 {
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-vc.ctx.Done():
				return
			}
		}
		vc.world.Lock()
		defer vc.world.Unlock()
		if vc.ctx.Err() != nil {
			return
		}
		result, fault := protected(ctx, do)
		vc.finishTask(task, result, fault)
	})
	return task.Self
}

// protected turns a panic of the simulator into a fault, as a vCenter that meets a bug answers.
func protected(ctx *simulator.Context, do work) (result types.AnyType, fault types.BaseMethodFault) {
	defer func() {
		if r := recover(); r != nil {
			result, fault = nil, &types.SystemError{Reason: fmt.Sprintf("%v\n%s", r, debug.Stack())}
		}
	}()
	return do(ctx)
}

func (vc *VCenter) finishTask(task *simulator.Task, result types.AnyType, fault types.BaseMethodFault) {
	ctx := vc.context()
	changes := []types.PropertyChange{{Name: "info.completeTime", Val: time.Now()}}
	if fault == nil {
		changes = append(changes,
			types.PropertyChange{Name: "info.result", Val: result},
			types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateSuccess})
	} else {
		changes = append(changes,
			types.PropertyChange{Name: "info.error", Val: types.LocalizedMethodFault{
				Fault: fault, LocalizedMessage: describe(fault),
			}},
			types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateError})
	}
	ctx.Map.AtomicUpdate(ctx, task, changes)
}

// taskWatch learns when tasks of the simulator end.
type taskWatch struct {
	mo.Task
	mu sync.Mutex
	// running are the simulator's tasks that have not ended; idle is closed when there are none.
	running map[types.ManagedObjectReference]bool
	idle    chan struct{}
	ended   map[types.ManagedObjectReference]types.TaskInfo
	waiting map[types.ManagedObjectReference]chan struct{}
}

func newTaskWatch() *taskWatch {
	w := &taskWatch{
		running: map[types.ManagedObjectReference]bool{},
		ended:   map[types.ManagedObjectReference]types.TaskInfo{},
		waiting: map[types.ManagedObjectReference]chan struct{}{},
	}
	w.Self = types.ManagedObjectReference{Type: "TaskWatch", Value: "TaskWatch"}
	return w
}

// Reference is part of simulator.RegisterObject.
func (w *taskWatch) Reference() types.ManagedObjectReference { return w.Self }

// PutObject is part of simulator.RegisterObject.
func (w *taskWatch) PutObject(_ *simulator.Context, object mo.Reference) {
	task, ok := object.(*simulator.Task)
	if !ok || isOwnTask(task.Self) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.running) == 0 {
		w.idle = make(chan struct{})
	}
	w.running[task.Self] = true
}

// RemoveObject is part of simulator.RegisterObject.
func (w *taskWatch) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}

// UpdateObject is part of simulator.RegisterObject.
func (w *taskWatch) UpdateObject(_ *simulator.Context, object mo.Reference, _ []types.PropertyChange) {
	task, ok := object.(*mo.Task)
	if !ok || isOwnTask(task.Self) {
		return
	}
	if state := task.Info.State; state != types.TaskInfoStateSuccess && state != types.TaskInfoStateError {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running[task.Self] {
		return
	}
	delete(w.running, task.Self)
	if len(w.running) == 0 {
		close(w.idle)
	}
	w.ended[task.Self] = task.Info
	if c := w.waiting[task.Self]; c != nil {
		close(c)
		delete(w.waiting, task.Self)
	}
}

// await waits for a task and returns what it says at its end.
func (w *taskWatch) await(ctx context.Context, ref types.ManagedObjectReference) (types.TaskInfo, error) {
	w.mu.Lock()
	if info, ok := w.ended[ref]; ok {
		delete(w.ended, ref)
		w.mu.Unlock()
		return info, nil
	}
	c := make(chan struct{})
	w.waiting[ref] = c
	w.mu.Unlock()
	select {
	case <-c:
	case <-ctx.Done():
		return types.TaskInfo{}, fmt.Errorf("waiting for %s: %w", ref.Value, ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	info := w.ended[ref]
	delete(w.ended, ref)
	return info, nil
}

// quiet waits until no task of the simulator runs: some start others and do not wait for them.
func (w *taskWatch) quiet(ctx context.Context) {
	w.mu.Lock()
	idle, none := w.idle, len(w.running) == 0
	w.mu.Unlock()
	if none {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// faultError is a vSphere fault as an error.
type faultError struct{ fault types.BaseMethodFault }

func (e *faultError) Error() string { return describe(e.fault) }

// outcome waits for the task that a method of the simulator has started and returns its result. A method that is no task
// is over at once and has no result.
func (vc *VCenter) outcome(body soap.HasFault) (types.AnyType, error) {
	if fault := body.Fault(); fault != nil {
		if f, ok := fault.VimFault().(types.BaseMethodFault); ok {
			return nil, &faultError{fault: f}
		}
		return nil, soap.WrapSoapFault(fault)
	}
	value := reflect.ValueOf(body).Elem().FieldByName("Res").Elem().FieldByName("Returnval")
	if !value.IsValid() {
		return nil, nil
	}
	ref, ok := reflect.TypeAssert[types.ManagedObjectReference](value)
	if !ok || ref.Type != "Task" {
		return value.Interface(), nil
	}
	info, err := vc.tasks.await(vc.ctx, ref)
	if err != nil {
		return nil, err
	}
	vc.tasks.quiet(vc.ctx)
	if info.Error != nil {
		return nil, &faultError{fault: info.Error.Fault}
	}
	return info.Result, nil
}

// settle is outcome for a task's own work: the error becomes the fault to end with.
func (vc *VCenter) settle(body soap.HasFault) (types.AnyType, types.BaseMethodFault) {
	result, err := vc.outcome(body)
	if err == nil {
		return result, nil
	}
	if f, ok := errors.AsType[*faultError](err); ok {
		return nil, f.fault
	}
	return nil, &types.SystemError{Reason: err.Error()}
}

// describe is the text a person reads of a fault.
func describe(fault types.BaseMethodFault) string {
	switch f := fault.(type) {
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.NoDiskSpace:
		return fmt.Sprintf("Insufficient disk space on datastore '%s'.", f.Datastore)
	case *types.InvalidArgument:
		return fmt.Sprintf("A specified parameter was not correct: %s", f.InvalidProperty)
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", f.ExistingState)
	case *types.ManagedObjectNotFound:
		return "The object has already been deleted or has not been completely created"
	case *types.NotAuthenticated:
		return "The session is not authenticated."
	case *types.SystemError:
		return "A general system error occurred: " + f.Reason
	case *types.InvalidDeviceSpec:
		return fmt.Sprintf("Invalid configuration for device '%d'.", f.DeviceIndex)
	case *types.InvalidDatastore:
		return fmt.Sprintf("Invalid datastore '%s'.", f.Name)
	}
	return reflect.TypeOf(fault).Elem().Name()
}
