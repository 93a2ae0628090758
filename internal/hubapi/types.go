// Package hubapi owns the words of the hub's REST API: wire types, error codes and the typed client. It holds no server
// and knows no Terraform. The provider and the commands speak to a hub through it and through nothing else.
package hubapi

import (
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// Meta is what every record has.
type Meta struct {
	ID      string `json:"id"`
	Project string `json:"project"`
	Name    string `json:"name"`
	// Generation counts writes of the spec; ObservedGeneration is the last one the gateway has finished with.
	Generation         int64 `json:"generation"`
	ObservedGeneration int64 `json:"observed_generation"`
	// Revision counts all writes; it is the ETag.
	Revision  int64      `json:"revision"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at,omitempty"`
}

// Trust says which certificates of a vCenter are believed. All empty means the system's CAs.
type Trust struct {
	// CACertificate is PEM.
	CACertificate string `json:"ca_certificate,omitempty"`
	// Thumbprints are SHA-1 or SHA-256 in upper-case hex with colons.
	Thumbprints []string `json:"thumbprints,omitempty"`
	Insecure    bool     `json:"insecure,omitempty"`
}

// VerifyObjects names the objects on which privileges are checked; empty ones are not checked.
type VerifyObjects struct {
	Datacenter      string `json:"datacenter,omitempty"`
	ComputeCluster  string `json:"compute_cluster,omitempty"`
	Folder          string `json:"folder,omitempty"`
	Datastore       string `json:"datastore,omitempty"`
	Network         string `json:"network,omitempty"`
	ResourcePool    string `json:"resource_pool,omitempty"`
	TemplatesFolder string `json:"templates_folder,omitempty"`
}

// CloudAccountSpec is a vCenter with its trust and credentials, bound to one gateway.
type CloudAccountSpec struct {
	GatewayID string `json:"gateway_id"`
	// VCenter is a canonical host[:port].
	VCenter  string         `json:"vcenter"`
	Username string         `json:"username"`
	Trust    Trust          `json:"trust"`
	Verify   *VerifyObjects `json:"verify,omitempty"`
}

// CloudAccountStatus is what the vCenter said.
type CloudAccountStatus struct {
	VCenterVersion string `json:"vcenter_version"`
	InstanceUUID   string `json:"instance_uuid"`
}

// CloudAccount is a cloud account as the hub keeps it. The password is never in it.
type CloudAccount struct {
	Meta
	Spec   CloudAccountSpec   `json:"spec"`
	Status CloudAccountStatus `json:"status"`
}

// CloudAccountWrite creates or updates a cloud account. SealedPassword may be empty on update: the old one stays.
type CloudAccountWrite struct {
	Name           string           `json:"name"`
	Spec           CloudAccountSpec `json:"spec"`
	SealedPassword []byte           `json:"sealed_password,omitempty"`
	// SealedHandover is a Handover, sealed to the gateway that the account leaves. It is needed when the gateway of an
	// account with clusters changes.
	SealedHandover []byte `json:"sealed_handover,omitempty"`
}

// IPPoolSpec describes addresses that machines may have. Exactly one of Ranges and Subnet is set.
type IPPoolSpec struct {
	GatewayID     string    `json:"gateway_id"`
	Ranges        []IPRange `json:"ranges,omitempty"`
	Subnet        string    `json:"subnet,omitempty"`
	Excluded      []string  `json:"excluded,omitempty"` // addresses, ranges "a-b" or prefixes
	Prefix        int       `json:"prefix"`
	Gateway       string    `json:"gateway"`
	NameServers   []string  `json:"name_servers,omitempty"`
	SearchDomains []string  `json:"search_domains,omitempty"`
	// CooldownSeconds is how long a released address rests before it is leased again.
	CooldownSeconds int `json:"cooldown_seconds"`
}

// IPRange is an inclusive range of addresses.
type IPRange struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// IPPoolStatus counts a pool's addresses: Total = Used + Free + those cooling down.
type IPPoolStatus struct {
	Total  int       `json:"total"`
	Used   int       `json:"used"`
	Free   int       `json:"free"`
	Leases []IPLease `json:"leases,omitempty"`
	// Since is the generation with which the pool came to its gateway: what a gateway remembers of an earlier time is out of
	// date.
	Since int64 `json:"since,omitempty"`
}

// IPLease is an address held by a machine, or resting after one.
type IPLease struct {
	Address      string `json:"address"`
	InstanceUUID string `json:"instance_uuid"`
	ClusterID    string `json:"cluster_id"`
	Machine      string `json:"machine"`
	// ReleasedAt is set while the address cools down.
	ReleasedAt *time.Time `json:"released_at,omitempty"`
}

// IPPool is an address pool.
type IPPool struct {
	Meta
	Spec   IPPoolSpec   `json:"spec"`
	Status IPPoolStatus `json:"status"`
}

// IPPoolWrite creates or updates an address pool.
type IPPoolWrite struct {
	Name string     `json:"name"`
	Spec IPPoolSpec `json:"spec"`
}

// IPPoolPreview asks what a write would meet. ID is empty for a new pool.
type IPPoolPreview struct {
	ID    string      `json:"id,omitempty"`
	Write IPPoolWrite `json:"write"`
	// Beside are the writes of other pools that are to be made together with this one.
	Beside []IPPoolWrite `json:"beside,omitempty"`
}

// Phase says where a cluster stands.
type Phase string

// The phases of a cluster.
const (
	PhasePending      Phase = "Pending"
	PhaseProvisioning Phase = "Provisioning"
	PhaseUpdating     Phase = "Updating"
	PhaseReady        Phase = "Ready"
	PhaseFailed       Phase = "Failed"
	PhaseDeleting     Phase = "Deleting"
)

// Condition is one aspect of a cluster's state. Messages stay the same between reconciles.
type Condition struct {
	Type    string `json:"type"`
	Status  bool   `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Machine is a machine of a cluster as a person sees it.
type Machine struct {
	Name         string   `json:"name"`
	Pool         string   `json:"pool"`
	InstanceUUID string   `json:"instance_uuid"`
	Moid         string   `json:"moid"`
	Addresses    []string `json:"addresses"`
	Host         string   `json:"host"`
	Datastore    string   `json:"datastore"`
	Version      string   `json:"version"`
	// State is booting, ready, failed, silent, powered-off, unreachable or copy.
	State string `json:"state"`
}

// ClusterStatus is what the gateway last said of a cluster.
type ClusterStatus struct {
	Phase      Phase       `json:"phase"`
	Ready      bool        `json:"ready"`
	Conditions []Condition `json:"conditions,omitempty"`
	Machines   []Machine   `json:"machines,omitempty"`
	// Origin is the gateway that made the cluster. The identities of its machines are derived with it for good, whichever
	// gateway works on the cluster later.
	Origin string `json:"origin,omitempty"`
	// Message says why the phase is Failed.
	Message string `json:"message,omitempty"`
	// Problems are the attributes at fault where that is why the phase is Failed.
	Problems []cluster.Problem `json:"problems,omitempty"`
	// FoldersCreated are full paths of folders made for the cluster, outermost first.
	FoldersCreated []string `json:"folders_created,omitempty"`
	// EverReady tells that the cluster has been ready once: from then on nobody takes it over with another spec.
	EverReady bool `json:"ever_ready"`
	// Claimed tells that somebody has come back to the cluster by its id, and so has it in a state: from then on nobody
	// takes it over by name.
	Claimed bool `json:"claimed"`
}

// Cluster is a cluster as the hub keeps it.
type Cluster struct {
	Meta
	Spec   cluster.Spec  `json:"spec"`
	Status ClusterStatus `json:"status"`
}

// ClusterWrite creates or updates a cluster.
type ClusterWrite struct {
	Spec cluster.Spec `json:"spec"`
}

// ClusterPreview asks what an apply would do. ID is empty for a new cluster.
type ClusterPreview struct {
	ID   string       `json:"id,omitempty"`
	Spec cluster.Spec `json:"spec"`
}

// Preview is what an apply would do.
type Preview struct {
	Operations []cluster.Operation `json:"operations"`
	// Summary has a line for each group of operations, for people.
	Summary  []string          `json:"summary"`
	Problems []cluster.Problem `json:"problems"`
}

// Event is something that happened to a cluster.
type Event struct {
	// Seq orders what is kept. It is 0 for what is only true while somebody watches: that the gateway is away, or the hub.
	Seq        int64     `json:"seq"`
	Time       time.Time `json:"time"`
	Phase      Phase     `json:"phase"`
	Generation int64     `json:"generation"`
	// ObservedGeneration reaches Generation when the gateway has finished, well or not.
	ObservedGeneration int64  `json:"observed_generation"`
	Machine            string `json:"machine,omitempty"`
	Message            string `json:"message"`
	// Gone is set on the last event of a deleted cluster.
	Gone bool `json:"gone,omitempty"`
	// Warnings are what a delete has left alone and why, on the last event.
	Warnings []string `json:"warnings,omitempty"`
}

// List is a page of records; all fit one page.
type List[T any] struct {
	Items []T `json:"items"`
}

// The domain's types, under the names that readers of the API use.
type (
	ClusterSpec    = cluster.Spec
	Pool           = cluster.Pool
	Placement      = cluster.Placement
	Taint          = cluster.Taint
	Endpoint       = cluster.Endpoint
	ClusterNetwork = cluster.Network
	UpdateStrategy = cluster.UpdateStrategy
	CloneMode      = cluster.CloneMode
	Operation      = cluster.Operation
	ClusterProblem = cluster.Problem
	InventoryQuery = inventory.Query
	Inventory      = inventory.Objects
)
