package cluster

import "time"

// Observed is what vCenter says of a cluster and of what it needs. Whoever fills it reads; nothing is remembered.
type Observed struct {
	// GatewayID and ClusterID are needed to derive identities.
	GatewayID string
	ClusterID string
	Folder    FolderFacts
	Machines  []Machine
	// Facts are what new machines need. They are nil when only the machines were read, as for a refresh or a delete;
	// then Plan checks and plans without them and Check reports nothing about them.
	Facts *Facts
	// RetryFailed tells that machines whose guests have failed are to be replaced, as a new apply does. Otherwise each is
	// a Failure of the plan, so that a running apply ends instead of making machines for ever.
	RetryFailed bool
	// EverReady tells that the cluster has been ready once. If then no control plane machine is left, the cluster is lost
	// and is not silently initialized anew.
	EverReady bool
	// Running are the steps in flight, in any order. What they make is counted as if it were there, what they work on is
	// counted as unavailable, and no plan gives them again.
	Running []Step
}

// FolderFacts is what is known of the cluster's folder.
type FolderFacts struct {
	Exists bool
	// Created are the full paths of folders that still exist, outermost first, that the gateway made for this cluster.
	Created []string
	// TakenNames maps names of VMs in the folder that are not this cluster's machines to their full paths.
	TakenNames map[string]string
	// Subfolders maps names of folders directly in the folder to their full paths. No VM can have a name of theirs.
	Subfolders map[string]string
}

// Facts is what vCenter and the address pools say about a cluster's needs.
type Facts struct {
	// DatacenterExists is false when the datacenter is missing; NearDatacenters are names like it.
	DatacenterExists bool
	NearDatacenters  []string
	// Template is nil when the template is missing; NearTemplates are paths like it. Several templates that fit a bare
	// name are an error: then Template is nil and AmbiguousTemplates has their paths.
	Template           *TemplateFacts
	NearTemplates      []string
	AmbiguousTemplates []string
	// Placements holds the facts of each placement of each pool, by pool name, in the order of the spec.
	Placements map[string][]PlacementFacts
	// AddressPools are the facts of the address pools named in the spec, by id; a pool that does not exist is absent.
	AddressPools map[string]AddressPoolFacts
	// UsedAddresses maps addresses wanted free (the endpoint) to the name of the foreign VM that has them.
	UsedAddresses map[string]string
}

// TemplateFacts is what matters of a template.
type TemplateFacts struct {
	Path              string
	KubernetesVersion string
	// DiskGiB is the size of the first disk.
	DiskGiB  int
	DiskKeys []int32
	// Snapshot is the current snapshot's name, or "".
	Snapshot string
	// Datastores are names of the datastores the template lies on.
	Datastores []string
}

// PlacementFacts says what was found for one placement. A nil error slice means found; Near lists are names like it.
type PlacementFacts struct {
	ComputeCluster Lookup
	ResourcePool   Lookup
	Datastore      Lookup
	// Networks is parallel to Placement.Networks.
	Networks []Lookup
	// DatastoreName is the datastore's bare name, to compare with TemplateFacts.Datastores.
	DatastoreName string
	FreeGiB       int
	// DatastoreReachable is false when not all usable hosts of the compute cluster mount the datastore, or when it is
	// inaccessible or in maintenance mode; DatastoreState says which.
	DatastoreReachable bool
	DatastoreState     string
	HostsUsable        int
}

// Lookup is the outcome of looking a name up.
type Lookup struct {
	// Path is the full inventory path, or "" when not found.
	Path string
	// Near are candidates: names like it when nothing was found, full paths when several fit.
	Near      []string
	Ambiguous bool
}

// Found tells whether exactly one object fits.
func (l Lookup) Found() bool { return l.Path != "" }

// AddressPoolFacts is the room in an address pool.
type AddressPoolFacts struct {
	Name string
	Free int
	// HeldBy maps instance UUIDs to the address they hold.
	HeldBy map[string]string
}

// Machine is one VM that carries an owner record of this cluster.
type Machine struct {
	Owner
	Name string
	Moid string
	UUID string // instance UUID as vCenter has it
	// Path is the full inventory path.
	Path string
	// InFolder is false when the VM has been moved out of the cluster's folder.
	InFolder bool
	// PowerState is vSphere's word: poweredOn, poweredOff, suspended.
	PowerState string
	// ConnectionState is vSphere's word: connected, disconnected, inaccessible, invalid, orphaned.
	ConnectionState string
	CPU             int
	MemoryMiB       int
	DiskGiB         int // the first own disk
	Host            string
	// ComputeCluster, ResourcePool, Datastore are full inventory paths of where the VM is now.
	ComputeCluster string
	ResourcePool   string
	Datastore      string
	Addresses      []string
	// Joined tells that the machine has become a node and its bootstrap secrets were cleared.
	Joined   bool
	Progress Progress
	// Node is the metadata last written for the node.
	Node NodeMetadata
	// ForeignDisks are the file names of attached disks that are not the machine's own.
	ForeignDisks []string
}

// Copy tells that the owner record does not belong to this VM: somebody cloned or restored a machine, and the copy
// carries the record under another instance UUID. Such a VM is reported and left alone.
func (m Machine) Copy() bool { return m.UUID != m.Identity.InstanceUUID() }

// NodeMetadata is what the node object carries besides its name.
type NodeMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Taints      []Taint           `json:"taints,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ProgressStatus says how a phase of the boot stands.
type ProgressStatus string

// The states of a boot phase.
const (
	ProgressRunning ProgressStatus = "run"
	ProgressDone    ProgressStatus = "ok"
	ProgressFailed  ProgressStatus = "fail"
)

// PhaseJoined is the last phase a machine reports: the node has joined the cluster.
const PhaseJoined = "joined"

// Progress is what a guest last said of its boot. It is untrusted text and never proof.
type Progress struct {
	At     time.Time
	Phase  string
	Status ProgressStatus
	Text   string
}

// HasJoined tells that the guest says it has joined.
func (p Progress) HasJoined() bool { return p.Phase == PhaseJoined && p.Status == ProgressDone }

// HasFailed tells that the guest says it cannot go on.
func (p Progress) HasFailed() bool { return p.Status == ProgressFailed }
