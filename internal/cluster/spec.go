// Package cluster owns the domain: what a Kubernetes cluster on vSphere should be (Spec), what it is (Observed), and the
// ordered operations that lead from one to the other (Plan). It is pure: no I/O, no clock, no randomness. The provider
// shows a plan, the gateway carries it out, and both ask this package, so that what is shown is what is done.
package cluster

// CloneMode says how machines are copied from the template.
type CloneMode string

// The clone modes. Auto is linked where that is possible and full elsewhere, and the plan says which and why.
const (
	CloneAuto   CloneMode = "auto"
	CloneLinked CloneMode = "linked"
	CloneFull   CloneMode = "full"
)

// ControlPlanePool is the pool name of control plane machines; no worker pool may have it.
const ControlPlanePool = "control-plane"

// Spec is what a cluster should be. It is also the wire form: the provider sends it, the hub keeps it.
type Spec struct {
	Name              string `json:"name"`
	CloudAccountID    string `json:"cloud_account_id"`
	KubernetesVersion string `json:"kubernetes_version"`
	Datacenter        string `json:"datacenter"`
	// Folder is a path below the datacenter's vm folder, such as "k8s/prod"; missing parts are created.
	Folder string `json:"folder"`
	// Template is a name or full inventory path of a VM template in the datacenter.
	Template          string          `json:"template"`
	CloneMode         CloneMode       `json:"clone_mode"`
	Endpoint          Endpoint        `json:"control_plane_endpoint"`
	Network           Network         `json:"cluster_network"`
	SSHAuthorizedKeys []string        `json:"ssh_authorized_keys,omitempty"`
	NTPServers        []string        `json:"ntp_servers,omitempty"`
	ControlPlane      Pool            `json:"control_plane"`
	WorkerPools       map[string]Pool `json:"worker_pools,omitempty"`
}

// Endpoint is where the API server answers.
type Endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Network is the cluster's own addressing.
type Network struct {
	PodCIDR     string `json:"pod_cidr"`
	ServiceCIDR string `json:"service_cidr"`
	DNSDomain   string `json:"dns_domain"`
}

// Pool is a set of machines that are alike.
type Pool struct {
	Count          int               `json:"count"`
	CPU            int               `json:"cpu"`
	MemoryMiB      int               `json:"memory_mib"`
	DiskGiB        int               `json:"disk_gib"`
	Labels         map[string]string `json:"labels,omitempty"`
	Taints         []Taint           `json:"taints,omitempty"`
	Annotations    map[string]string `json:"annotations,omitempty"`
	Placements     []Placement       `json:"placements"`
	UpdateStrategy UpdateStrategy    `json:"update_strategy"`
}

// Taint is a Kubernetes node taint.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Placement is one place where a pool's machines may be. Machines spread over a pool's placements.
type Placement struct {
	ComputeCluster string `json:"compute_cluster"`
	// ResourcePool is a name or path below the compute cluster; "" is its root pool.
	ResourcePool string `json:"resource_pool,omitempty"`
	Datastore    string `json:"datastore"`
	// Networks has one entry for each network card, the first being the node's own address.
	Networks []string `json:"networks"`
	// IPPoolID is the pool static addresses of the first card come from; "" is DHCP.
	IPPoolID string `json:"ip_pool_id,omitempty"`
}

// UpdateStrategy bounds a rolling replacement. At least one of the two is positive.
type UpdateStrategy struct {
	MaxSurge       int `json:"max_surge"`
	MaxUnavailable int `json:"max_unavailable"`
}

// Pools returns the control plane and the worker pools with their names, the control plane first, workers by name.
func (s Spec) Pools() []NamedPool {
	pools := []NamedPool{{Name: ControlPlanePool, Pool: s.ControlPlane, ControlPlane: true}}
	for _, name := range sortedKeys(s.WorkerPools) {
		pools = append(pools, NamedPool{Name: name, Pool: s.WorkerPools[name]})
	}
	return pools
}

// NamedPool is a pool with its name and role.
type NamedPool struct {
	Pool
	Name         string
	ControlPlane bool
}
