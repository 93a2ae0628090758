package vsphere

import (
	"fmt"

	"github.com/vmware/govmomi/vim25/types"
)

// faultDetail says what a fault carries besides its name and the vCenter's text: what is short, and by how much.
func faultDetail(fault types.BaseMethodFault) string {
	switch f := fault.(type) {
	case *types.NoDiskSpace:
		if f.Datastore != "" {
			return "datastore " + f.Datastore + " is full"
		}
	case *types.InsufficientMemoryResourcesFault:
		const mib = 1 << 20
		return fmt.Sprintf("%d MiB of memory are needed, %d MiB are unreserved", f.Requested/mib, f.Unreserved/mib)
	case *types.InsufficientCpuResourcesFault:
		return fmt.Sprintf("%d MHz of CPU are needed, %d MHz are unreserved", f.Requested, f.Unreserved)
	case *types.InsufficientHostCapacityFault:
		if f.Host != nil {
			return "host " + f.Host.Value + " has no room"
		}
	case *types.NumVirtualCpusExceedsLimit:
		return fmt.Sprintf("hosts allow %d CPUs", f.MaxSupportedVcpus)
	case *types.InvalidDatastore:
		if f.Name != "" {
			return "datastore " + f.Name
		}
	case *types.InaccessibleDatastore:
		if f.Name != "" {
			return "datastore " + f.Name
		}
	}
	return ""
}
