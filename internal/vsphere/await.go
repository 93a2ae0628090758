package vsphere

import (
	"context"
	"fmt"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// await waits for w through the update loop. A context that ends is an error, never success: what was started goes on.
func (u *updates) await(ctx context.Context, w *waiting, watched bool) (any, error) {
	w.props, w.done = props{}, make(chan outcome, 1)
	w.due = time.Now().Add(gather)
	if !watched {
		w.early = nil
	}
	if w.early != nil {
		w.due = time.Now().Add(lateListing)
	}
	if err := u.session.usable(); err != nil {
		return nil, err
	}
	u.mutex.Lock()
	u.waits[w] = true
	u.mutex.Unlock()
	if w.early != nil {
		u.checkEarly()
	}
	u.wake()
	select {
	case o := <-w.done:
		return o.result, o.err
	case <-ctx.Done():
		u.mutex.Lock()
		u.forgetWait(w)
		u.mutex.Unlock()
		return nil, fmt.Errorf("waiting for %s %s: %w", w.ref.Type, w.ref.Value, ctx.Err())
	case <-u.session.ctx.Done():
		return nil, ErrClosed
	}
}

// taskReady tells from a task's properties whether it has ended, and how.
func taskReady(p props) (any, bool, error) {
	switch prop[types.TaskInfoState](p, "info.state") {
	case types.TaskInfoStateSuccess:
		return p["info.result"], true, nil
	case types.TaskInfoStateError:
		failure := prop[types.LocalizedMethodFault](p, "info.error")
		return nil, true, taskFault(&failure)
	case types.TaskInfoStateQueued, types.TaskInfoStateRunning:
	}
	return nil, false, nil
}

// awaitTask waits for a task.
func (s *Session) awaitTask(ctx context.Context, task types.ManagedObjectReference) (any, error) {
	return s.updates.await(ctx, &waiting{ref: task, ready: taskReady}, false)
}

// awaitPower waits until a VM is in a power state.
func (s *Session) awaitPower(
	ctx context.Context, vm types.ManagedObjectReference, wanted types.VirtualMachinePowerState,
) error {
	_, err := s.updates.await(ctx, &waiting{ref: vm, ready: func(p props) (any, bool, error) {
		return nil, prop[types.VirtualMachinePowerState](p, "runtime.powerState") == wanted, nil
	}}, false)
	return err
}

// run starts a task and waits for it. Both kinds of fault, of the call and of the task, come back with what was done.
func (s *Session) run(
	ctx context.Context, op, object string, start func(context.Context) (types.ManagedObjectReference, error),
) error {
	task, err := start(ctx)
	if err == nil {
		_, err = s.awaitTask(ctx, task)
	}
	return s.newFaultError(op, object, err)
}
