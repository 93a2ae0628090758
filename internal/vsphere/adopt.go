package vsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// adopt takes what has the machine's name for the machine if it is, and waits while it is still being made: a clone of a
// process that died goes on in the vCenter. Only ctx ends that waiting, as a full clone takes minutes.
func (s *Session) adopt(ctx context.Context, r CloneRequest, ref types.ManagedObjectReference) (string, error) {
	if ref.Type != typeVM {
		return "", s.foreign(ctx, r, ref, "the name is taken by something that is not a virtual machine")
	}
	for settled := false; ; {
		objects, err := s.retrieve(ctx, objectSpec(ref, append([]string{"recentTask"}, machinePaths...)...))
		if err != nil {
			return "", s.newFaultError("look at "+r.Name, "", err)
		}
		if len(objects) == 0 {
			// It failed just now, or it has a name and nothing else yet.
			return "", fmt.Errorf("look at %s: %w", r.Name, errBeingMade)
		}
		vm := objects[0]
		if prop[string](vm.props, "config.instanceUuid") == "" {
			if err := s.awaitConfig(ctx, r.Name, vm); err != nil {
				return "", err
			}
			continue
		}
		if reason := notMachine(vm, r.Owner.Identity); reason != "" {
			// Identity and owner record may be the last that a clone gets.
			if waited, err := s.awaitClonesOnce(ctx, &settled); waited || err != nil {
				if err != nil {
					return "", err
				}
				continue
			}
			return "", s.foreign(ctx, r, vm.ref, reason)
		}
		err = s.adoptMade(ctx, r, vm)
		busy, isBusy := isFault[*types.TaskInProgress](err)
		switch {
		case err == nil:
			return vm.ref.Value, nil
		case !isBusy:
			return "", err
		}
		if err := s.awaitBusy(ctx, r.Name, busy.Task); err != nil {
			return "", err
		}
	}
}

// awaitClonesOnce waits for running clones the first time, and tells whether there were any.
func (s *Session) awaitClonesOnce(ctx context.Context, done *bool) (bool, error) {
	if *done {
		return false, nil
	}
	*done = true
	waited, err := s.awaitClones(ctx)
	return waited > 0, err
}

// awaitConfig waits until a VM that has no configuration has one, or is gone.
func (s *Session) awaitConfig(ctx context.Context, name string, vm object) error {
	if !isBeingCreated(vm) {
		state := prop[types.VirtualMachineConnectionState](vm.props, "runtime.connectionState")
		return fmt.Errorf("look at %s: it has no configuration and is %s: %w", name, state, errBeingMade)
	}
	_, err := s.updates.await(ctx, &waiting{ref: vm.ref, ready: func(p props) (any, bool, error) {
		return nil, !isBeingCreated(object{props: p}), nil
	}}, false)
	if err != nil {
		return fmt.Errorf("look at %s: %w: %w", name, errBeingMade, err)
	}
	return nil
}

// awaitBusy waits for the task that keeps a machine busy. Whether it succeeds or not, the machine's own state says what
// is left to do.
func (s *Session) awaitBusy(ctx context.Context, name string, task types.ManagedObjectReference) error {
	if task.Value != "" {
		_, _ = s.awaitTask(ctx, task)
	}
	if err := pause(ctx, adoptPause); err != nil {
		return fmt.Errorf("waiting for %s: %w: %w", name, errBeingMade, err)
	}
	return s.usable()
}

// adoptMade powers an adopted machine on, once nothing is being done to it any more.
func (s *Session) adoptMade(ctx context.Context, r CloneRequest, vm object) error {
	if isOn(vm.props) {
		return nil
	}
	if tasks := refsOf(vm.props, "recentTask"); len(tasks) > 0 {
		objects, err := s.retrieve(ctx, objectsSpec(tasks, "info.state"))
		if err != nil {
			return s.newFaultError("look at the tasks of "+r.Name, "", err)
		}
		for _, task := range objects {
			if _, over, _ := taskReady(task.props); over {
				continue
			}
			// Whether it succeeds or not, the machine's own state says what is left to do.
			if _, err := s.awaitTask(ctx, task.ref); err != nil && ctx.Err() != nil {
				return err
			}
		}
	}
	return s.powerOn(ctx, r.Name, vm.ref, vm.props)
}

func (s *Session) foreign(ctx context.Context, r CloneRequest, ref types.ManagedObjectReference, reason string) error {
	at, err := s.findPlace(ctx, r.Datacenter, r.Folder)
	if err != nil {
		return &ForeignVMError{Path: s.describe(ref), Reason: reason}
	}
	return &ForeignVMError{Path: at.path + "/" + r.Name, Reason: reason}
}

// notMachine says why a VM is not the machine with an identity; "" is that it is. Owner record and instance UUID must both
// match: a copy carries the record under another UUID, and a UUID alone anybody can set.
func notMachine(vm object, id cluster.Identity) string {
	text := extraValue(vm.props, cluster.OwnerKey)
	if text == "" {
		return "it carries no owner record of this product"
	}
	owner, err := cluster.DecodeOwner(text)
	if err != nil {
		return err.Error()
	}
	if owner.Identity != id {
		return fmt.Sprintf("its owner record says gateway %s, cluster %s, pool %s, ordinal %d, generation %d",
			owner.Gateway, owner.Cluster, owner.Pool, owner.Ordinal, owner.Generation)
	}
	if uuid := prop[string](vm.props, "config.instanceUuid"); uuid != id.InstanceUUID() {
		return fmt.Sprintf("it is a copy: its instance UUID is %s, the machine's is %s", uuid, id.InstanceUUID())
	}
	return ""
}
