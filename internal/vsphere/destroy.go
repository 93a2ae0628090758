package vsphere

import (
	"context"
	"errors"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

const destroyAttempts = 3

// Destroy powers a machine off and destroys it with its own disks. Owner record, instance UUID and disks are read again
// first, and the disks once more after the power-off: a ForeignVMError or a ForeignDiskError leaves the machine standing.
// A machine that does not exist is no error.
func (s *Session) Destroy(ctx context.Context, moid string, id cluster.Identity) error {
	for attempt := 1; ; attempt++ {
		err := s.destroy(ctx, moid, id)
		lost := isTransport(err) || errors.Is(err, errTaskLost)
		if !lost || attempt == destroyAttempts || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Session) destroy(ctx context.Context, moid string, id cluster.Identity) error {
	vm, path, err := s.readForDestroy(ctx, moid, id)
	if vm == nil || err != nil {
		return err
	}
	if !isOff(vm.props) {
		if err := s.powerOff(ctx, path, vm.ref, vm.props); err != nil {
			if Classify(err) == ClassGone {
				return nil
			}
			return err
		}
		if vm, path, err = s.readForDestroy(ctx, moid, id); vm == nil || err != nil {
			return err
		}
	}
	s.updates.gone.Store(vm.ref, true)
	err = s.run(ctx, "destroy", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.Destroy_Task(ctx, s.vim, &types.Destroy_Task{This: vm.ref})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	if Classify(err) == ClassGone {
		return nil
	}
	return err
}

func (s *Session) readForDestroy(ctx context.Context, moid string, id cluster.Identity) (*object, string, error) {
	vm, path, err := s.readMachine(ctx, moid, id)
	if vm == nil || err != nil {
		return nil, path, err
	}
	owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
	if err != nil {
		return nil, path, &ForeignVMError{Path: path, Reason: err.Error()}
	}
	if _, foreign := splitDisks(owner, vm.props); len(foreign) > 0 {
		return nil, path, &ForeignDiskError{Path: path, Disks: foreign}
	}
	return vm, path, nil
}
