package vsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Relocate moves a machine to a placement and folder, and writes the placement into its owner record. A machine that is
// there already is not moved.
func (s *Session) Relocate(
	ctx context.Context, moid string, id cluster.Identity, p cluster.Placement, datacenter, folder string,
) error {
	vm, path, err := s.mustReadMachine(ctx, moid, id)
	if err != nil {
		return err
	}
	t, err := s.freshTree(ctx)
	if err != nil {
		return err
	}
	at, err := t.resolve(datacenter, p, id)
	if err != nil {
		return fmt.Errorf("relocate %s: %w", path, err)
	}
	to, err := t.place(datacenter, folder)
	if err != nil {
		return err
	}
	if to.folder == nil {
		return fmt.Errorf("relocate %s: %w", path, &NotFoundError{Kind: "folder", Name: to.path})
	}
	if err := s.moveToSpot(ctx, path, vm, t, at); err != nil {
		return err
	}
	if parent := refOf(vm.props, "parent"); parent == nil || *parent != *to.folder {
		err := s.run(ctx, "move into folder", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
			response, err := methods.MoveIntoFolder_Task(ctx, s.vim, &types.MoveIntoFolder_Task{
				This: *to.folder, List: []types.ManagedObjectReference{vm.ref},
			})
			if err != nil {
				return types.ManagedObjectReference{}, err
			}
			return response.Returnval, nil
		})
		if err != nil {
			return err
		}
	}
	owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
	if err != nil {
		return err
	}
	owner.Placement = p
	if owner.Encode() == extraValue(vm.props, cluster.OwnerKey) {
		return nil
	}
	return s.SetExtraConfig(ctx, moid, map[string]string{cluster.OwnerKey: owner.Encode()})
}

// moveToSpot moves a VM to another resource pool, host or datastore where it is not there already.
func (s *Session) moveToSpot(ctx context.Context, path string, vm *object, t *tree, at spot) error {
	spec := types.VirtualMachineRelocateSpec{}
	if pool := refOf(vm.props, "resourcePool"); pool == nil || *pool != at.pool.ref {
		spec.Pool = &at.pool.ref
	}
	if t.homeDatastore(*vm) != at.datastore.path() {
		spec.Datastore = &at.datastore.ref
		spec.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsMoveAllDiskBackingsAndDisallowSharing)
	}
	host := t.nodes[orZero(refOf(vm.props, "runtime.host"))]
	if host == nil || host.parent == nil || *host.parent != at.compute.ref {
		spec.Pool, spec.Host = &at.pool.ref, at.host
		cards, err := cardMoves(vm, at)
		if err != nil {
			return fmt.Errorf("relocate %s: %w", path, err)
		}
		spec.DeviceChange = cards
	}
	if spec.Pool == nil && spec.Datastore == nil {
		return nil
	}
	err := s.run(ctx, "relocate", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.RelocateVM_Task(ctx, s.vim, &types.RelocateVM_Task{This: vm.ref, Spec: spec})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	return err
}

// cardMoves connects a VM's cards to the networks of another compute cluster.
func cardMoves(vm *object, at spot) ([]types.BaseVirtualDeviceConfigSpec, error) {
	var moves []types.BaseVirtualDeviceConfigSpec
	cards := ethernetCards(prop[types.ArrayOfVirtualDevice](vm.props, pathDevices).VirtualDevice)
	for i, network := range at.networks[:min(len(cards), len(at.networks))] {
		backing, err := cardBacking(network)
		if err != nil {
			return nil, err
		}
		cards[i].GetVirtualEthernetCard().Backing = backing
		moves = append(moves, deviceChange(types.VirtualDeviceConfigSpecOperationEdit, cards[i]))
	}
	return moves, nil
}
