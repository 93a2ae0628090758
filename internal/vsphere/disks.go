package vsphere

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Paths of a VM's disks. The whole list of devices is several KB; the number of disks and the usual first disk say the
// same for a machine with nothing else attached.
const (
	pathDevices   = "config.hardware.device"
	pathDiskCount = "summary.config.numVirtualDisks"
	pathFirstDisk = "config.hardware.device[2000]"
)

// splitDisks tells a machine's own disks from foreign ones. Own are those recorded at the clone whose file lies in the
// machine's directory and that are no first class disks; whatever else is attached holds somebody's data.
func splitDisks(owner cluster.Owner, p props) (own []*types.VirtualDisk, foreign []string) {
	home := prop[string](p, "config.files.vmPathName")
	home = home[:strings.LastIndex(home, "/")+1]
	for _, disk := range virtualDisks(prop[types.ArrayOfVirtualDevice](p, pathDevices).VirtualDevice) {
		file := diskFile(disk)
		if slices.Contains(owner.Disks, disk.Key) && disk.VDiskId == nil && home != "" && strings.HasPrefix(file, home) {
			own = append(own, disk)
			continue
		}
		foreign = append(foreign, file)
	}
	return own, foreign
}

func diskFile(disk *types.VirtualDisk) string {
	if backing, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		return backing.GetVirtualDeviceFileBackingInfo().FileName
	}
	return fmt.Sprintf("device %d", disk.Key)
}

// knowDisks fills the list of devices of a watched VM from what is watched; false when that does not tell, and the list
// has to be read.
func knowDisks(p props) bool {
	if p[pathDevices] != nil {
		return true
	}
	var devices []types.BaseVirtualDevice
	if first := prop[types.VirtualDisk](p, pathFirstDisk); first.Key != 0 {
		devices = append(devices, &first)
	}
	if int(prop[int32](p, pathDiskCount)) != len(devices) {
		return false
	}
	p[pathDevices] = types.ArrayOfVirtualDevice{VirtualDevice: devices}
	return true
}

// readDevices reads the devices of VMs, by reference.
func (s *Session) readDevices(
	ctx context.Context, refs []types.ManagedObjectReference,
) (map[types.ManagedObjectReference]any, error) {
	objects, err := s.retrieve(ctx, objectsSpec(refs, pathDevices))
	if err != nil {
		return nil, err
	}
	devices := map[types.ManagedObjectReference]any{}
	for _, o := range objects {
		devices[o.ref] = o.props[pathDevices]
	}
	return devices, nil
}
