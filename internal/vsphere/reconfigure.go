package vsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Change is a change of a machine in place. Zero figures are kept.
type Change struct {
	CPU, MemoryMiB, DiskGiB int
	ExtraConfig             map[string]string
}

// hardwarePaths say what a running VM can take.
var hardwarePaths = []string{"config.cpuHotAddEnabled", "config.memoryHotAddEnabled", "guest.toolsRunningStatus"}

// Reconfigure changes a machine. Its owner record and instance UUID are read again when its hardware changes. CPU and
// memory grow while it runs where the VM allows that; else the guest is shut down, the VM changed, and powered on again.
// The disk only grows. A machine that has what is wanted is not touched.
func (s *Session) Reconfigure(ctx context.Context, moid string, id cluster.Identity, c Change) error {
	if c.CPU == 0 && c.MemoryMiB == 0 && c.DiskGiB == 0 {
		return s.SetExtraConfig(ctx, moid, c.ExtraConfig)
	}
	vm, path, err := s.mustReadMachine(ctx, moid, id, hardwarePaths...)
	if err != nil {
		return err
	}
	spec, cold, err := c.configSpec(path, vm)
	if err != nil {
		return err
	}
	if cold {
		if err := s.shutDown(ctx, path, vm); err != nil {
			return err
		}
		vm.props["runtime.powerState"] = types.VirtualMachinePowerStatePoweredOff
	}
	if spec != nil {
		if err := s.reconfigure(ctx, path, vm.ref, *spec, nil); err != nil {
			return err
		}
		if err := s.showDisks(ctx, vm.ref, *spec); err != nil {
			return err
		}
	}
	// Also after a crash between the change and the power-on.
	return s.powerOn(ctx, path, vm.ref, vm.props)
}

// showDisks brings watches up to date with a changed disk, whose size alone they might not be told of.
func (s *Session) showDisks(
	ctx context.Context, ref types.ManagedObjectReference, spec types.VirtualMachineConfigSpec,
) error {
	if len(spec.DeviceChange) == 0 || !s.updates.covered(&ref, nil) {
		return nil
	}
	devices, err := s.readDevices(ctx, []types.ManagedObjectReference{ref})
	if err != nil {
		return s.newFaultError("read disks", s.describe(ref), err)
	}
	s.updates.showDevices(devices)
	return nil
}

// configSpec is what has to change, nil for nothing, and whether the VM has to be off for it.
func (c Change) configSpec(path string, vm *object) (*types.VirtualMachineConfigSpec, bool, error) {
	var spec types.VirtualMachineConfigSpec
	changed, cold := len(c.ExtraConfig) > 0, false
	spec.ExtraConfig = optionValues(c.ExtraConfig)
	if has := int(prop[int32](vm.props, "config.hardware.numCPU")); c.CPU != 0 && c.CPU != has {
		spec.NumCPUs, spec.NumCoresPerSocket = int32(c.CPU), types.NewInt32(1)
		hot := c.CPU > has && prop[bool](vm.props, "config.cpuHotAddEnabled")
		changed, cold = true, cold || !hot
		if hot {
			spec.NumCoresPerSocket = nil // it cannot change while the VM runs
		}
	}
	if has := int(prop[int32](vm.props, "config.hardware.memoryMB")); c.MemoryMiB != 0 && c.MemoryMiB != has {
		spec.MemoryMB = int64(c.MemoryMiB)
		hot := c.MemoryMiB > has && prop[bool](vm.props, "config.memoryHotAddEnabled")
		changed, cold = true, cold || !hot
	}
	if c.DiskGiB != 0 {
		owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
		if err != nil {
			return nil, false, err
		}
		own, _ := splitDisks(owner, vm.props)
		if len(own) == 0 {
			return nil, false, fmt.Errorf("reconfigure %s: it has no disk of its own", path)
		}
		has := capacityGiB(own[0])
		if c.DiskGiB < has {
			return nil, false, fmt.Errorf("reconfigure %s: its disk has %d GiB and cannot shrink to %d", path, has, c.DiskGiB)
		}
		if c.DiskGiB > has {
			spec.DeviceChange = []types.BaseVirtualDeviceConfigSpec{growDisk(own[0], c.DiskGiB)}
			changed = true
		}
	}
	if !changed {
		return nil, false, nil
	}
	return &spec, cold && !isOff(vm.props), nil
}

// SetExtraConfig writes keys of a machine's extraConfig; an empty value removes the key. It is one call and its task.
func (s *Session) SetExtraConfig(ctx context.Context, moid string, kv map[string]string) error {
	if len(kv) == 0 {
		return nil
	}
	ref := types.ManagedObjectReference{Type: typeVM, Value: moid}
	return s.reconfigure(ctx, moid, ref, types.VirtualMachineConfigSpec{ExtraConfig: optionValues(kv)}, s.shownBy(ref, kv))
}

// watchedKeys are the keys that only a gateway writes and that every watch shows.
var watchedKeys = []string{cluster.OwnerKey, cluster.NodeKey, cluster.JoinedKey}

// shownBy tells from a watched VM that a change of its keys is done; nil where no watch would show a difference.
func (s *Session) shownBy(ref types.ManagedObjectReference, kv map[string]string) func(object) bool {
	var shown []string
	for _, key := range watchedKeys {
		if _, ok := kv[key]; ok {
			shown = append(shown, key)
		}
	}
	has := func(vm object) bool {
		return vm.ref == ref && !slices.ContainsFunc(shown, func(key string) bool {
			return extraValue(vm.props, key) != kv[key]
		})
	}
	if len(shown) == 0 || s.updates.shows(has) {
		return nil
	}
	return has
}

// shows tells whether a watch has a VM that fits.
func (u *updates) shows(fits func(object) bool) bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for w := range u.watches {
		if slices.ContainsFunc(w.vms(), fits) {
			return true
		}
	}
	return false
}

// reconfigure changes a VM. It can be repeated: the same change twice is one change.
func (s *Session) reconfigure(
	ctx context.Context, path string, ref types.ManagedObjectReference, spec types.VirtualMachineConfigSpec,
	early func(object) bool,
) error {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		response, err := methods.ReconfigVM_Task(ctx, s.vim, &types.ReconfigVM_Task{This: ref, Spec: spec})
		if err == nil {
			_, err = s.updates.await(ctx, &waiting{ref: response.Returnval, ready: taskReady, early: early},
				s.updates.covered(&ref, nil))
		}
		lost := isTransport(err) || errors.Is(err, errTaskLost)
		if !lost || attempt == attempts || ctx.Err() != nil {
			return s.newFaultError("reconfigure", path, err)
		}
	}
}
