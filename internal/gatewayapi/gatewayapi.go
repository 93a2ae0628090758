// Package gatewayapi owns the words between a hub and a gateway: what the hub pushes, what it asks, and what the gateway
// reports. Only the hub calls; the gateway answers. The transport is any http.RoundTripper: memory for the system gateway,
// a tunnel for the others.
package gatewayapi

import (
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// Paths of the gateway's API.
const (
	PathInfo          = "/v1/info"
	PathVerifyAccount = "/v1/accounts/verify"
	PathInventory     = "/v1/inventory"
	PathPreview       = "/v1/clusters/preview"
	PathObserve       = "/v1/clusters/observe"
	PathAssign        = "/v1/clusters/assign"
	PathEvents        = "/v1/events"
	PathAck           = "/v1/ack"
	PathHandover      = "/v1/clusters/handover"
	PathAnchor        = "/v1/clusters/anchor"
)

// Info says who a gateway is.
type Info struct {
	ID        string `json:"id"`
	PublicKey []byte `json:"public_key"`
	Version   string `json:"version"`
}

// Account is a cloud account as a gateway needs it; the password is sealed to the gateway's key.
type Account struct {
	ID             string                  `json:"id"`
	Project        string                  `json:"project"`
	Name           string                  `json:"name"`
	Revision       int64                   `json:"revision"`
	Spec           hubapi.CloudAccountSpec `json:"spec"`
	SealedPassword []byte                  `json:"sealed_password"`
}

// InventoryRequest asks for one kind of inventory object.
type InventoryRequest struct {
	Account Account         `json:"account"`
	Query   inventory.Query `json:"query"`
}

// Assignment is a cluster with everything a gateway needs to work on it.
type Assignment struct {
	ID         string               `json:"id"`
	Project    string               `json:"project"`
	Generation int64                `json:"generation"`
	Deleting   bool                 `json:"deleting"`
	Spec       cluster.Spec         `json:"spec"`
	Status     hubapi.ClusterStatus `json:"status"`
	// SealedSecrets are the cluster's PKI and tokens, sealed by the gateway to itself; empty before the first reconcile.
	SealedSecrets []byte          `json:"sealed_secrets,omitempty"`
	Account       Account         `json:"account"`
	Pools         []hubapi.IPPool `json:"pools,omitempty"`
}

// HandoverRequest asks the gateway that an account leaves to seal the secrets of the account's clusters to another one.
type HandoverRequest struct {
	// Account is the account as it was.
	Account Account `json:"account"`
	// Sealed is the owner's hubapi.Handover.
	Sealed []byte `json:"sealed"`
	// Gateway gets the clusters; PublicKey is its key.
	Gateway   string          `json:"gateway"`
	PublicKey []byte          `json:"public_key"`
	Clusters  []SealedCluster `json:"clusters"`
}

// SealedCluster is a cluster's secrets, sealed to one gateway.
type SealedCluster struct {
	ID            string `json:"id"`
	SealedSecrets []byte `json:"sealed_secrets"`
}

// HandoverAnswer has the clusters' secrets sealed to the other gateway.
type HandoverAnswer struct {
	Clusters []SealedCluster `json:"clusters"`
}

// AnchorRequest asks the gateway to bind the secrets of an account's clusters to the account as it is now.
type AnchorRequest struct {
	Account  Account         `json:"account"`
	Clusters []SealedCluster `json:"clusters"`
}

// AnchorAnswer has the secrets that were sealed anew.
type AnchorAnswer struct {
	Clusters []SealedCluster `json:"clusters"`
}

// Report is one line of the event stream: a change that the hub has to keep before it acknowledges.
type Report struct {
	// Seq grows by one within one Boot of the gateway; after a restart Boot differs and Seq starts again.
	Seq  int64     `json:"seq"`
	Boot string    `json:"boot"`
	Time time.Time `json:"time"`
	// Epoch is that of the lease under which the gateway worked; 0 for a gateway that has no replicas.
	Epoch int64 `json:"epoch,omitempty"`
	// Resigned tells that the replica has stopped its work and gives up the lease of Epoch: it is the last word under it.
	Resigned bool `json:"resigned,omitempty"`
	// Cluster is set when the report is about a cluster.
	Cluster *ClusterReport `json:"cluster,omitempty"`
	// Pool is set when the leases of an address pool have changed.
	Pool *PoolReport `json:"pool,omitempty"`
}

// ClusterReport is the state of a cluster after something happened.
type ClusterReport struct {
	ID                 string               `json:"id"`
	Generation         int64                `json:"generation"`
	ObservedGeneration int64                `json:"observed_generation"`
	Status             hubapi.ClusterStatus `json:"status"`
	SealedSecrets      []byte               `json:"sealed_secrets,omitempty"`
	Machine            string               `json:"machine,omitempty"`
	// Message is what happened, for people; "" when only the state changed.
	Message string `json:"message,omitempty"`
	// Gone tells that nothing of the cluster is left.
	Gone bool `json:"gone,omitempty"`
	// Warnings are what was left alone and why, on the report of a cluster that is gone.
	Warnings []string `json:"warnings,omitempty"`
}

// PoolReport is the leases of an address pool.
type PoolReport struct {
	ID     string              `json:"id"`
	Status hubapi.IPPoolStatus `json:"status"`
}

// Ack tells a gateway that everything up to Seq of Boot is kept.
type Ack struct {
	Boot string `json:"boot"`
	Seq  int64  `json:"seq"`
}
