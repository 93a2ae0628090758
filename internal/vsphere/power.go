package vsphere

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// shutdownTimeout is how long a guest may take to shut down before it is powered off.
const shutdownTimeout = 2 * time.Minute

// readMachine reads a machine by its moid and checks that it is the one that is meant. Nil is that it does not exist.
func (s *Session) readMachine(
	ctx context.Context, moid string, id cluster.Identity, more ...string,
) (*object, string, error) {
	ref := types.ManagedObjectReference{Type: typeVM, Value: moid}
	objects, err := s.retrieve(ctx, objectSpec(ref, append(more, machinePaths...)...))
	if err != nil {
		if Classify(err) == ClassGone {
			return nil, "", nil
		}
		return nil, "", s.newFaultError("read machine", moid, err)
	}
	if len(objects) == 0 {
		return nil, "", nil
	}
	known, err := s.treeFor(ctx, objects)
	if err != nil {
		return nil, "", err
	}
	path := known.vmPath(objects[0])
	if reason := notMachine(objects[0], id); reason != "" {
		return nil, path, &ForeignVMError{Path: path, Reason: reason}
	}
	return &objects[0], path, nil
}

// mustReadMachine is readMachine for what needs the machine to exist.
func (s *Session) mustReadMachine(
	ctx context.Context, moid string, id cluster.Identity, more ...string,
) (*object, string, error) {
	vm, path, err := s.readMachine(ctx, moid, id, more...)
	if err == nil && vm == nil {
		fault := &types.ManagedObjectNotFound{Obj: types.ManagedObjectReference{Type: typeVM, Value: moid}}
		err = &FaultError{Op: "read machine", Object: moid, Fault: faultName(fault), fault: fault}
	}
	return vm, path, err
}

// PowerOn powers a machine on. One that is on is left as it is.
func (s *Session) PowerOn(ctx context.Context, moid string, id cluster.Identity) error {
	vm, path, err := s.mustReadMachine(ctx, moid, id)
	if err != nil {
		return err
	}
	return s.powerOn(ctx, path, vm.ref, vm.props)
}

func isOn(p props) bool {
	return prop[types.VirtualMachinePowerState](p, "runtime.powerState") == types.VirtualMachinePowerStatePoweredOn
}

func isOff(p props) bool {
	return prop[types.VirtualMachinePowerState](p, "runtime.powerState") == types.VirtualMachinePowerStatePoweredOff
}

func (s *Session) powerOn(ctx context.Context, path string, ref types.ManagedObjectReference, p props) error {
	if isOn(p) {
		return nil
	}
	err := s.run(ctx, "power on", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.PowerOnVM_Task(ctx, s.vim, &types.PowerOnVM_Task{This: ref})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	return s.settledPower(ctx, ref, err, isOn)
}

// settledPower looks whether a VM is in the wanted state after all: another may have been faster, or an answer was lost.
func (s *Session) settledPower(
	ctx context.Context, ref types.ManagedObjectReference, err error, wanted func(props) bool,
) error {
	_, wrongState := isFault[*types.InvalidPowerState](err)
	if err == nil || !wrongState && !isTransport(err) && !errors.Is(err, errTaskLost) || ctx.Err() != nil {
		return err
	}
	objects, readErr := s.retrieve(ctx, objectSpec(ref, "runtime.powerState"))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if len(objects) > 0 && wanted(objects[0].props) {
		return nil
	}
	return err
}

func (s *Session) powerOff(ctx context.Context, path string, ref types.ManagedObjectReference, p props) error {
	if isOff(p) {
		return nil
	}
	err := s.run(ctx, "power off", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.PowerOffVM_Task(ctx, s.vim, &types.PowerOffVM_Task{This: ref})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	return s.settledPower(ctx, ref, err, isOff)
}

// shutDown lets the guest shut down where its tools run, and powers the VM off where that does not work in time.
func (s *Session) shutDown(ctx context.Context, path string, vm *object) error {
	if isOff(vm.props) {
		return nil
	}
	tools := types.VirtualMachineToolsRunningStatus(prop[string](vm.props, "guest.toolsRunningStatus"))
	if tools == types.VirtualMachineToolsRunningStatusGuestToolsRunning {
		if err := s.shutDownGuest(ctx, vm.ref); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("shutting down %s: %w", path, ctx.Err())
		}
	}
	return s.powerOff(ctx, path, vm.ref, vm.props)
}

func (s *Session) shutDownGuest(ctx context.Context, vm types.ManagedObjectReference) error {
	if _, err := methods.ShutdownGuest(ctx, s.vim, &types.ShutdownGuest{This: vm}); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	return s.awaitPower(bounded, vm, types.VirtualMachinePowerStatePoweredOff)
}
