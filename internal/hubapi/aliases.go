package hubapi

import (
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// The severities of a ClusterProblem.
const (
	SeverityError   = cluster.SeverityError
	SeverityWarning = cluster.SeverityWarning
)

// The inventory's types, under the names that readers of the API use.
type (
	InventoryKind   = inventory.Kind
	InventoryObject = inventory.Object
	Datacenter      = inventory.Datacenter
	ComputeCluster  = inventory.ComputeCluster
	Datastore       = inventory.Datastore
	Network         = inventory.Network
	NetworkKind     = inventory.NetworkKind
	ResourcePool    = inventory.ResourcePool
	Folder          = inventory.Folder
	Template        = inventory.Template
	Disk            = inventory.Disk
)

// The kinds of inventory object that can be read.
const (
	KindDatacenters     = inventory.KindDatacenters
	KindComputeClusters = inventory.KindComputeClusters
	KindDatastores      = inventory.KindDatastores
	KindNetworks        = inventory.KindNetworks
	KindResourcePools   = inventory.KindResourcePools
	KindFolders         = inventory.KindFolders
	KindTemplates       = inventory.KindTemplates
)

// The kinds of network.
const (
	NetworkStandard    = inventory.NetworkStandard
	NetworkDistributed = inventory.NetworkDistributed
	NetworkNSX         = inventory.NetworkNSX
	NetworkOpaque      = inventory.NetworkOpaque
)
