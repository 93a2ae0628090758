// Package appliance owns the VMs that a gateway runs on where Terraform can reach the vCenter once: it clones them from a
// cloud-init template, changes them in place, replaces them one after the other, and destroys them. A VM carries an owner
// record, as a cluster's machines do, and nothing without one is touched. What a VM boots with comes from its caller.
package appliance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// VCenter is where the VMs are.
type VCenter struct {
	Host, Username, Password string
	CACertificate            string
	Thumbprints              []string
	Insecure                 bool
}

// Spec says which VMs there are to be.
type Spec struct {
	GatewayID string
	// Name is the gateway's; the VMs are <name>-gw-0 and so on.
	Name string

	// Objects of the vCenter are given by name or full inventory path, the folder below the datacenter's vm folder. It is
	// made if it is missing.
	Datacenter, Folder, ComputeCluster, ResourcePool, Datastore, Network, Template string

	CPU, MemoryMiB, DiskGiB int
	// Replicas is how many VMs there are, each on a host of its own as far as there are hosts.
	Replicas int

	// Addresses are those of the VMs with their prefix lengths, one for each; none is DHCP. One more lets a VM be replaced
	// while its successor comes up beside it.
	Addresses []netip.Prefix
	Gateway   netip.Addr
	// NameServers and SearchDomains come from DHCP where they are not given.
	NameServers   []netip.Addr
	SearchDomains []string

	// Boot names what else the VMs boot with. A VM that was made with another one is replaced.
	Boot string
}

// Machine is one of the VMs.
type Machine struct {
	Name, Moid, InstanceUUID, Host string
	PoweredOn                      bool
	Addresses                      []string
}

// owner is in owner records where a machine has its cluster's id, and pool where it has its pool's name.
const (
	owner = "appliance"
	pool  = "gw"
)

func (s Spec) identity(ordinal, generation int) cluster.Identity {
	return cluster.Identity{Gateway: s.GatewayID, Cluster: owner, Pool: pool, Ordinal: ordinal, Generation: generation}
}

func (s Spec) target() vsphere.Target {
	return vsphere.Target{GatewayID: s.GatewayID, ClusterID: owner, Datacenter: s.Datacenter, Folder: s.Folder}
}

func (s Spec) placement() cluster.Placement {
	return cluster.Placement{
		ComputeCluster: s.ComputeCluster, ResourcePool: s.ResourcePool, Datastore: s.Datastore, Networks: []string{s.Network},
	}
}

// fits tells whether a VM boots with what is wanted.
func (s Spec) fits(m cluster.Machine) bool {
	if len(s.Addresses) == 0 || len(m.Owner.Addresses) == 0 {
		return m.Bootstrap == s.Digest() && len(s.Addresses) == len(m.Owner.Addresses)
	}
	return m.Bootstrap == s.Digest() && slices.ContainsFunc(s.Addresses, func(p netip.Prefix) bool {
		return p.Addr().String() == m.Owner.Addresses[0]
	})
}

// free returns an address that no VM has; false where all are taken.
func (s Spec) free(machines []cluster.Machine) (netip.Prefix, bool) {
	for _, p := range s.Addresses {
		if !slices.ContainsFunc(machines, func(m cluster.Machine) bool { return slices.Contains(m.Owner.Addresses, p.Addr().String()) }) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Digest names everything that only another VM can change, but the addresses.
func (s Spec) Digest() string {
	text, err := json.Marshal([]any{
		s.Datacenter, s.Folder, s.ComputeCluster, s.ResourcePool, s.Datastore, s.Network, s.Template,
		s.Gateway, s.NameServers, s.SearchDomains, s.Boot,
	})
	if err != nil {
		panic(err) // only strings and addresses: cannot fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (s Spec) check() error {
	switch {
	case s.Replicas < 1:
		return errors.New("at least one replica is needed")
	case len(s.Addresses) > 0 && len(s.Addresses) < s.Replicas:
		return fmt.Errorf("%d addresses for %d replicas: give one for each, or none for DHCP", len(s.Addresses), s.Replicas)
	}
	return nil
}
