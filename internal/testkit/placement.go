package testkit

import (
	"path"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// placement is where a VM goes.
type placement struct {
	pool      types.ManagedObjectReference
	host      *simulator.HostSystem
	datastore *simulator.Datastore
}

// place resolves where a VM shall go; what the location leaves open stays as it is with the source.
func (vc *VCenter) place(
	source *simulator.VirtualMachine, location *types.VirtualMachineRelocateSpec,
) (placement, types.BaseMethodFault) {
	poolRef := orPointer(location.Pool, source.ResourcePool)
	if poolRef == nil {
		return placement{}, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	pool, ok := vc.registry().Get(*poolRef).(*simulator.ResourcePool)
	if !ok {
		return placement{}, &types.ManagedObjectNotFound{Obj: *poolRef}
	}
	datastore := vc.datastoreNamed(datastoreOf(source.Config.Files.VmPathName))
	if location.Datastore != nil {
		datastore, _ = vc.registry().Get(*location.Datastore).(*simulator.Datastore)
	}
	if datastore == nil {
		return placement{}, &types.InvalidArgument{InvalidProperty: "spec.location.datastore"}
	}
	host, fault := vc.chooseHost(pool, location.Host, datastore)
	if fault != nil {
		return placement{}, fault
	}
	if fault := usable(datastore, host); fault != nil {
		return placement{}, fault
	}
	return placement{pool: pool.Self, host: host, datastore: datastore}, nil
}

// usable refuses a datastore that the host cannot write to.
func usable(datastore *simulator.Datastore, host *simulator.HostSystem) types.BaseMethodFault {
	if !mounts(host, datastore.Self) {
		return &types.InvalidDatastore{Datastore: &datastore.Self, Name: datastore.Name}
	}
	if datastore.Summary.MaintenanceMode != string(types.DatastoreSummaryMaintenanceModeStateNormal) {
		return &types.InvalidDatastoreState{
			InvalidState: types.InvalidState{}, DatastoreName: datastore.Name,
		}
	}
	if !datastore.Summary.Accessible {
		return &types.InaccessibleDatastore{
			InvalidDatastore: types.InvalidDatastore{Datastore: &datastore.Self, Name: datastore.Name},
		}
	}
	return nil
}

// chooseHost returns the wanted host if it is one of the pool's, else what DRS would choose: the usable host with the
// fewest VMs that has the datastore. Where DRS is off a pool of a cluster is not enough.
func (vc *VCenter) chooseHost(
	pool *simulator.ResourcePool, wanted *types.ManagedObjectReference, datastore *simulator.Datastore,
) (*simulator.HostSystem, types.BaseMethodFault) {
	cluster, ok := vc.registry().Get(pool.Owner).(*simulator.ClusterComputeResource)
	if !ok {
		return nil, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	if wanted == nil {
		if config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx); ok && !*config.DrsConfig.Enabled {
			return nil, &types.InvalidArgument{InvalidProperty: "spec.location.host"}
		}
	}
	var best *simulator.HostSystem
	inCluster := false
	for _, ref := range cluster.Host {
		host, ok := vc.registry().Get(ref).(*simulator.HostSystem)
		if !ok || (wanted != nil && ref != *wanted) {
			continue
		}
		inCluster = true
		connected := host.Runtime.ConnectionState == types.HostSystemConnectionStateConnected
		if !connected || host.Runtime.InMaintenanceMode || (wanted == nil && !mounts(host, datastore.Self)) {
			continue
		}
		if best == nil || len(host.Vm) < len(best.Vm) {
			best = host
		}
	}
	switch {
	case wanted != nil && !inCluster:
		return nil, &types.InvalidArgument{InvalidProperty: "spec.location.host"}
	case best == nil:
		return nil, &types.NoCompatibleHost{}
	}
	return best, nil
}

// clonedDisks are the devices of a clone, and the parents of those of its disks that are linked.
type clonedDisks struct {
	devices []types.BaseVirtualDevice
	parents map[int32]*types.VirtualDiskFlatVer2BackingInfo
}

// cloneDisks copies the source's devices, changes them as asked, and gives each disk a file of its own.
func (vc *VCenter) cloneDisks(
	source *simulator.VirtualMachine, req *types.CloneVM_Task, place placement,
) (clonedDisks, types.BaseMethodFault) {
	result := clonedDisks{parents: map[int32]*types.VirtualDiskFlatVer2BackingInfo{}}
	all := cloneDevices(source.Config.Hardware.Device)
	for _, device := range all {
		if !isDefault(all, device) {
			result.devices = append(result.devices, device)
		}
	}
	for _, device := range result.devices {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			c := card.GetVirtualEthernetCard()
			c.AddressType = string(types.VirtualEthernetCardMacTypeAssigned)
			c.MacAddress = vc.nextMAC()
		}
	}
	sizes := map[int32]int64{}
	for _, disk := range disksOf(source) {
		sizes[disk.Key] = disk.CapacityInBytes
	}
	changes := req.Spec.Location.DeviceChange
	if req.Spec.Config != nil {
		changes = append(slices.Clip(changes), req.Spec.Config.DeviceChange...)
	}
	devices, fault := vc.changeDevices(result.devices, changes)
	if fault != nil {
		return result, fault
	}
	result.devices = devices
	needed := map[*simulator.Datastore]int64{}
	for i, device := range result.devices {
		disk, ok := device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		fault := vc.cloneDisk(source, req, place, disk, int32(i), sizes[disk.Key], &result, needed)
		if fault != nil {
			return result, fault
		}
	}
	return result, checkSpace(needed, req.Name)
}

func (vc *VCenter) cloneDisk(
	source *simulator.VirtualMachine, req *types.CloneVM_Task, place placement, disk *types.VirtualDisk,
	index int32, size int64, result *clonedDisks, needed map[*simulator.Datastore]int64,
) types.BaseMethodFault {
	moveType, datastore := req.Spec.Location.DiskMoveType, place.datastore
	for _, locator := range req.Spec.Location.Disk {
		if locator.DiskId == disk.Key {
			moveType = or(locator.DiskMoveType, moveType)
			datastore, _ = vc.registry().Get(locator.Datastore).(*simulator.Datastore)
		}
	}
	if fault := usable(datastore, place.host); fault != nil {
		return fault
	}
	backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return invalidDisk(index, "backing")
	}
	if moveType == linked && size > 0 {
		if fault := vc.link(source, req.Spec.Snapshot, disk, place.host, index, size, result); fault != nil {
			return fault
		}
	} else {
		needed[datastore] += disk.CapacityInBytes
	}
	// Without a name the file lies beside the VM, whatever its directory is called; a bare datastore would make a directory
	// after the VM's name.
	file := ""
	if datastore != place.datastore {
		file = "[" + datastore.Name + "]"
	}
	disk.Backing = &types.VirtualDiskFlatVer2BackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file},
		DiskMode:                     backing.DiskMode,
		ThinProvisioned:              backing.ThinProvisioned,
	}
	return nil
}

// link makes a clone's disk a child of the source's, which needs a snapshot of the source to hold the parent still, and
// the very size of the parent.
func (vc *VCenter) link(
	source *simulator.VirtualMachine, snapshot *types.ManagedObjectReference, disk *types.VirtualDisk,
	host *simulator.HostSystem, index int32, size int64, result *clonedDisks,
) types.BaseMethodFault {
	if snapshot == nil {
		return &types.InvalidArgument{InvalidProperty: "spec.snapshot"}
	}
	if s, ok := vc.registry().Get(*snapshot).(*simulator.VirtualMachineSnapshot); !ok || s.Vm != source.Self {
		return &types.InvalidArgument{InvalidProperty: "spec.snapshot"}
	}
	if disk.CapacityInBytes != size {
		return invalidDisk(index, "capacityInBytes")
	}
	for _, origin := range disksOf(source) {
		if origin.Key != disk.Key {
			continue
		}
		if holder := vc.datastoreNamed(datastoreOf(fileOf(origin))); holder == nil || !mounts(host, holder.Self) {
			return &types.InvalidDatastore{Name: datastoreOf(fileOf(origin))}
		}
		parent, ok := origin.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok {
			return invalidDisk(index, "backing")
		}
		own := *parent
		result.parents[disk.Key] = &own
	}
	return nil
}

// changeDevices lays device changes over devices.
func (vc *VCenter) changeDevices(
	devices []types.BaseVirtualDevice, changes []types.BaseVirtualDeviceConfigSpec,
) ([]types.BaseVirtualDevice, types.BaseMethodFault) {
	for i, c := range changes {
		change := c.GetVirtualDeviceConfigSpec()
		at := -1
		for j, device := range devices {
			if device.GetVirtualDevice().Key == change.Device.GetVirtualDevice().Key {
				at = j
			}
		}
		switch change.Operation {
		case types.VirtualDeviceConfigSpecOperationAdd:
			devices = append(devices, change.Device)
		case types.VirtualDeviceConfigSpecOperationRemove:
			if at < 0 {
				return nil, &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
			}
			devices = append(devices[:at], devices[at+1:]...)
		case types.VirtualDeviceConfigSpecOperationEdit:
			if at < 0 {
				return nil, &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
			}
			if fault := vc.editDevice(devices, at, change.Device, int32(i)); fault != nil {
				return nil, fault
			}
		default:
			return nil, &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
		}
	}
	for _, device := range devices {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().MacAddress == "" {
			card.GetVirtualEthernetCard().MacAddress = vc.nextMAC()
		}
		if disk, ok := device.(*types.VirtualDisk); ok && disk.CapacityInBytes == 0 {
			disk.CapacityInBytes = disk.CapacityInKB * 1024
		}
	}
	return devices, nil
}

// editDevice takes the size of an edited disk, and all of any other device.
func (vc *VCenter) editDevice(
	devices []types.BaseVirtualDevice, at int, change types.BaseVirtualDevice, index int32,
) types.BaseMethodFault {
	disk, ok := devices[at].(*types.VirtualDisk)
	if !ok {
		if card, ok := change.(types.BaseVirtualEthernetCard); ok {
			if c := card.GetVirtualEthernetCard(); c.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
				c.MacAddress = ""
			}
		}
		devices[at] = change
		return nil
	}
	wanted, ok := change.(*types.VirtualDisk)
	if !ok {
		return &types.InvalidDeviceSpec{DeviceIndex: index}
	}
	size := wantedSize(disk, wanted)
	if size < disk.CapacityInBytes {
		return invalidDisk(index, "capacityInBytes")
	}
	disk.CapacityInBytes, disk.CapacityInKB = size, size/1024
	return nil
}

// wantedSize reads the new size of a disk from whichever of the two fields was changed.
func wantedSize(disk, change *types.VirtualDisk) int64 {
	if change.CapacityInBytes != 0 && change.CapacityInBytes != disk.CapacityInBytes {
		return change.CapacityInBytes
	}
	if change.CapacityInKB != 0 {
		return change.CapacityInKB * 1024
	}
	return disk.CapacityInBytes
}

func invalidDisk(index int32, property string) types.BaseMethodFault {
	return &types.InvalidDeviceSpec{
		InvalidVmConfig: types.InvalidVmConfig{Property: "virtualDeviceSpec.device." + property}, DeviceIndex: index,
	}
}

func checkSpace(needed map[*simulator.Datastore]int64, name string) types.BaseMethodFault {
	for datastore, bytes := range needed {
		if bytes > datastore.Summary.FreeSpace {
			return &types.NoDiskSpace{
				FileFault: types.FileFault{File: "[" + datastore.Name + "] " + path.Join(name, name+".vmdk")},
				Datastore: datastore.Name,
			}
		}
	}
	return nil
}
