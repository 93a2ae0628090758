package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Keys of a machine's extraConfig that the gateway writes. They are outside guestinfo, so the guest can neither read nor
// forge them.
const (
	// OwnerKey holds the Owner record; it is part of the CloneSpec, so it exists from the first instant.
	OwnerKey = "palette.owner"
	// NodeKey holds the NodeMetadata last written for the machine's node.
	NodeKey = "palette.node"
	// JoinedKey is set once the machine has joined; its value is the instance UUID, so that a copy does not count.
	JoinedKey = "palette.joined"
	// ProgressKey is written by the guest: "<RFC 3339 time>|<phase>|<status>|<text>".
	ProgressKey = "guestinfo.palette.progress"
)

// machineNamespace is the name space of machine instance UUIDs. It never changes: machines are found again by it.
var machineNamespace = uuid.MustParse("5d6a2a6e-3a0b-5f43-9d5a-3c1f0f5a9b7e")

// Identity is what makes a machine that machine. Everything else about it can change in place.
type Identity struct {
	Gateway string `json:"gw"`
	Cluster string `json:"cluster"`
	Pool    string `json:"pool"`
	Ordinal int    `json:"ordinal"`
	// Generation counts the machines that have held this ordinal, from 1.
	Generation int `json:"gen"`
}

// InstanceUUID derives the vSphere instance UUID; it can be computed again with no state.
func (i Identity) InstanceUUID() string {
	name := fmt.Sprintf("%s/%s/%s/%d/%d", i.Gateway, i.Cluster, i.Pool, i.Ordinal, i.Generation)
	return uuid.NewSHA1(machineNamespace, []byte(name)).String()
}

// MachineName is the name of the VM and of the node: <cluster>-<pool>-<ordinal>, with "-r<generation>" from the second
// generation on, so that a replacement can stand beside what it replaces.
func MachineName(clusterName string, id Identity) string {
	pool := id.Pool
	if pool == ControlPlanePool {
		pool = "cp"
	}
	name := fmt.Sprintf("%s-%s-%d", clusterName, pool, id.Ordinal)
	if id.Generation > 1 {
		name = fmt.Sprintf("%s-r%d", name, id.Generation)
	}
	return name
}

// MAC derives an address in VMware's manual range for the machine's network card of the given index, so that the
// machine's network configuration is complete before the VM exists.
func (i Identity) MAC(card int) string {
	sum := uuid.NewSHA1(machineNamespace, fmt.Appendf(nil, "%s/nic/%d", i.InstanceUUID(), card))
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", sum[0]&0x3f, sum[1], sum[2])
}

// Owner is the record in a machine's extraConfig that says whose it is and what it was made from.
type Owner struct {
	Identity
	// Version is the version of the record's form.
	Version int `json:"v"`
	// Operation is the id of the apply that made the machine.
	Operation string `json:"op"`
	// Template is the full inventory path cloned from.
	Template          string    `json:"template"`
	KubernetesVersion string    `json:"kubernetes_version"`
	Placement         Placement `json:"placement"`
	// Addresses are the static addresses leased to the machine, without prefix length.
	Addresses []string `json:"addresses,omitempty"`
	// Disks are the device keys of the machine's own disks; any other disk is foreign and is never deleted.
	Disks []int32 `json:"disks"`
	// Bootstrap is Spec.BootstrapDigest of the spec the machine was made from.
	Bootstrap string `json:"bootstrap"`
	// Join is how the machine entered the cluster.
	Join JoinMode `json:"join,omitempty"`
	// Linked tells that the disk is a linked clone, which vSphere cannot enlarge.
	Linked bool `json:"linked,omitempty"`
	// DiskGiB is the disk size asked for when the machine was made; 0 where unknown.
	DiskGiB int `json:"disk_gib,omitempty"`
}

// OwnerVersion is the version of Owner records written today.
const OwnerVersion = 1

// Encode returns the record as the text kept in extraConfig.
func (o Owner) Encode() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // only strings, numbers and slices: cannot fail
	}
	return string(b)
}

// DecodeOwner reads a record written by Encode. A record of a newer version is refused.
func DecodeOwner(text string) (Owner, error) {
	var o Owner
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return Owner{}, fmt.Errorf("reading owner record: %w", err)
	}
	if o.Version > OwnerVersion {
		return Owner{}, fmt.Errorf("owner record has version %d, this program knows %d", o.Version, OwnerVersion)
	}
	return o, nil
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
