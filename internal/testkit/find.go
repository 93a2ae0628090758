package testkit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// errNotFound says that the inventory does not hold what was asked for.
var errNotFound = errors.New("not in the inventory")

// objectAt returns the object of a type at an inventory path.
func objectAt[T mo.Reference](vc *VCenter, inventoryPath string) (T, error) {
	var zero T
	entity := vc.lookup(inventoryPath)
	if entity == nil {
		return zero, fmt.Errorf("%w: %s", errNotFound, inventoryPath)
	}
	found, ok := entity.(T)
	if !ok {
		return zero, fmt.Errorf("%s is a %T, not a %T", inventoryPath, entity, zero)
	}
	return found, nil
}

// lookup walks an inventory path from the root folder; nil means there is no such object.
func (vc *VCenter) lookup(inventoryPath string) mo.Reference {
	registry := vc.registry()
	current := registry.Get(vc.serviceInstance().Content.RootFolder)
	for name := range strings.SplitSeq(strings.Trim(inventoryPath, "/"), "/") {
		if name == "" || current == nil {
			break
		}
		current = vc.child(current, name)
	}
	return current
}

func (vc *VCenter) child(parent mo.Reference, name string) mo.Reference {
	for _, ref := range childrenOf(parent) {
		child := vc.registry().Get(ref)
		if entity, ok := child.(mo.Entity); ok && nameOf(entity) == name {
			return child
		}
	}
	return nil
}

func childrenOf(parent mo.Reference) []types.ManagedObjectReference {
	switch p := parent.(type) {
	case *simulator.Folder:
		return p.ChildEntity
	case *simulator.StoragePod:
		return p.ChildEntity
	case *simulator.Datacenter:
		return []types.ManagedObjectReference{p.VmFolder, p.HostFolder, p.DatastoreFolder, p.NetworkFolder}
	case *simulator.ClusterComputeResource:
		return append([]types.ManagedObjectReference{*p.ResourcePool}, p.Host...)
	case *simulator.ResourcePool:
		return p.ResourcePool.ResourcePool
	}
	return nil
}

func nameOf(entity mo.Entity) string {
	switch e := entity.(type) {
	case *mo.Network:
		return e.Name
	case *mo.OpaqueNetwork:
		return e.Name
	case *simulator.DistributedVirtualPortgroup:
		return e.Name
	case *simulator.DistributedVirtualSwitch:
		return e.Name
	}
	return entity.Entity().Name
}

// pathOf returns an object's inventory path, "" for nil.
func (vc *VCenter) pathOf(ref *types.ManagedObjectReference) string {
	var names []string
	for ref != nil {
		entity, ok := vc.registry().Get(*ref).(mo.Entity)
		if !ok {
			break
		}
		parent := entity.Entity().Parent
		if parent == nil {
			break
		}
		names = append([]string{nameOf(entity)}, names...)
		ref = parent
	}
	if len(names) == 0 {
		return ""
	}
	return "/" + strings.Join(names, "/")
}

// pathOfObject is pathOf for an object, "" for nil.
func (vc *VCenter) pathOfObject(object mo.Reference) string {
	if object == nil {
		return ""
	}
	ref := object.Reference()
	return vc.pathOf(&ref)
}

func disksOf(vm *simulator.VirtualMachine) []*types.VirtualDisk {
	var disks []*types.VirtualDisk
	for _, device := range vm.Config.Hardware.Device {
		if disk, ok := device.(*types.VirtualDisk); ok {
			disks = append(disks, disk)
		}
	}
	return disks
}

// datastoreOf returns the datastore of a path such as "[name] dir/file.vmdk".
func datastoreOf(file string) string {
	var p object.DatastorePath
	p.FromString(file)
	return p.Datastore
}

func fileOf(disk *types.VirtualDisk) string {
	if backing, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		return backing.GetVirtualDeviceFileBackingInfo().FileName
	}
	return ""
}

// datastoreNamed finds a datastore of any datacenter; names are unique here.
func (vc *VCenter) datastoreNamed(name string) *simulator.Datastore {
	for _, entity := range vc.registry().All("Datastore") {
		if datastore, ok := entity.(*simulator.Datastore); ok && datastore.Name == name {
			return datastore
		}
	}
	return nil
}

// datacenterOf returns the datacenter that holds an object.
func (vc *VCenter) datacenterOf(entity mo.Entity) *simulator.Datacenter {
	for entity != nil {
		if dc, ok := entity.(*simulator.Datacenter); ok {
			return dc
		}
		parent := entity.Entity().Parent
		if parent == nil {
			return nil
		}
		entity, _ = vc.registry().Get(*parent).(mo.Entity)
	}
	return nil
}

// parentOf returns the file that a linked clone's disk is a child of, or "".
func parentOf(disk *types.VirtualDisk) string {
	if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok && backing.Parent != nil {
		return backing.Parent.FileName
	}
	return ""
}
