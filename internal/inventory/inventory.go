// Package inventory owns the words for what a vCenter holds besides machines of ours: datacenters, compute clusters,
// datastores, networks, resource pools, folders and templates. It is pure; the gateway fills it, data sources show it.
package inventory

// Kind names one kind of inventory object that can be read.
type Kind string

// The kinds that can be read, as they appear in paths of the API.
const (
	KindDatacenters     Kind = "datacenters"
	KindComputeClusters Kind = "compute-clusters"
	KindDatastores      Kind = "datastores"
	KindNetworks        Kind = "networks"
	KindResourcePools   Kind = "resource-pools"
	KindFolders         Kind = "folders"
	KindTemplates       Kind = "templates"
)

// Query selects what one read returns. Empty fields do not narrow. Datacenter, ComputeCluster and AccessibleFrom take a
// name or a full inventory path; one that does not exist, or a name that fits several objects, is an error that names the
// candidates.
type Query struct {
	Kind           Kind   `json:"kind"`
	Datacenter     string `json:"datacenter,omitempty"`
	ComputeCluster string `json:"compute_cluster,omitempty"`
	// AccessibleFrom is a compute cluster: only datastores that are accessible and mounted by all its hosts are meant.
	AccessibleFrom string `json:"accessible_from,omitempty"`
}

// Objects is the answer to a Query: exactly the slice of the asked kind is filled, sorted by path.
type Objects struct {
	Datacenters     []Datacenter     `json:"datacenters,omitempty"`
	ComputeClusters []ComputeCluster `json:"compute_clusters,omitempty"`
	Datastores      []Datastore      `json:"datastores,omitempty"`
	Networks        []Network        `json:"networks,omitempty"`
	ResourcePools   []ResourcePool   `json:"resource_pools,omitempty"`
	Folders         []Folder         `json:"folders,omitempty"`
	Templates       []Template       `json:"templates,omitempty"`
}

// Object is what every inventory object has.
type Object struct {
	// Moid is the managed object id, such as "datastore-12".
	Moid string `json:"moid"`
	// Name is the last element of Path, with vSphere's escapes (%2f, %5c, %25) decoded.
	Name string `json:"name"`
	// Path is the full inventory path, such as "/dc-north/datastore/vsan-01".
	Path string `json:"path"`
	// Datacenter is the name of the datacenter that holds the object.
	Datacenter string `json:"datacenter"`
}

// Datacenter is a vSphere datacenter.
type Datacenter struct {
	Object
}

// ComputeCluster is a cluster of ESXi hosts, or a standalone host seen as a cluster of one.
type ComputeCluster struct {
	Object
	// Hosts are the names of the ESXi hosts, sorted.
	Hosts []string `json:"hosts"`
	// HostsUsable counts hosts that are connected and not in maintenance mode.
	HostsUsable int  `json:"hosts_usable"`
	CPUCores    int  `json:"cpu_cores"`
	CPUMHz      int  `json:"cpu_mhz"`
	MemoryMiB   int  `json:"memory_mib"`
	DRSEnabled  bool `json:"drs_enabled"`
	HAEnabled   bool `json:"ha_enabled"`
	// Zone and Region are the names of the tags of categories k8s-zone and k8s-region attached to the cluster.
	Zone   string `json:"zone,omitempty"`
	Region string `json:"region,omitempty"`
}

// Datastore is a place for disks.
type Datastore struct {
	Object
	// Type is vSphere's word: VMFS, NFS, NFS41, vsan, VVOL, ...
	Type        string `json:"type"`
	CapacityGiB int    `json:"capacity_gib"`
	FreeGiB     int    `json:"free_gib"`
	Accessible  bool   `json:"accessible"`
	// MaintenanceMode is vSphere's word: normal, enteringMaintenance or inMaintenance.
	MaintenanceMode string `json:"maintenance_mode"`
	// DatastoreCluster is the name of the datastore cluster (StoragePod) it belongs to, or "".
	DatastoreCluster string `json:"datastore_cluster,omitempty"`
	// Hosts are the names of the hosts that mount it, sorted.
	Hosts []string `json:"hosts"`
	// AccessibleFrom are the full paths of the compute clusters all of whose hosts mount it, sorted.
	AccessibleFrom []string `json:"accessible_from"`
}

// NetworkKind tells how a network is attached to.
type NetworkKind string

// The kinds of network.
const (
	NetworkStandard    NetworkKind = "standard"
	NetworkDistributed NetworkKind = "distributed"
	NetworkNSX         NetworkKind = "nsx"
	NetworkOpaque      NetworkKind = "opaque"
)

// Network is a port group or an opaque network. Uplink port groups are left out.
type Network struct {
	Object
	Kind NetworkKind `json:"kind"`
	// VLAN is "0".."4095", a trunk's ranges such as "100-199,300", a private VLAN's "pvlan:NN", or "" where unknown.
	VLAN string `json:"vlan,omitempty"`
	// Switch is the name of the distributed switch, or "" for standard and opaque networks.
	Switch string `json:"switch,omitempty"`
	// Hosts are the names of the hosts it exists on, sorted.
	Hosts []string `json:"hosts"`
}

// ResourcePool is a resource pool or vApp; each compute cluster's root pool is named Resources.
type ResourcePool struct {
	Object
	// ComputeCluster is the name of the compute cluster it divides.
	ComputeCluster string `json:"compute_cluster"`
}

// Folder is a folder for virtual machines.
type Folder struct {
	Object
}

// Disk is one virtual disk of a template.
type Disk struct {
	// Key is the device key, kept by clones.
	Key         int32 `json:"key"`
	CapacityGiB int   `json:"capacity_gib"`
}

// Template is a virtual machine template.
type Template struct {
	Object
	// KubernetesVersion is "v1.34.1": from the OVF property KUBERNETES_SEMVER, else parsed from the name, else "".
	KubernetesVersion string `json:"kubernetes_version,omitempty"`
	GuestID           string `json:"guest_id"`
	// HardwareVersion is such as "vmx-19".
	HardwareVersion string `json:"hardware_version"`
	Disks           []Disk `json:"disks"`
	// Snapshot is the name of the current snapshot, from which linked clones are made, or "".
	Snapshot string `json:"snapshot,omitempty"`
	// Datastores are the names of the datastores it lies on, sorted.
	Datastores []string `json:"datastores"`
}
