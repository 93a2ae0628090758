package vsphere

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// uplinkTag is how vSphere marks the port group of a distributed switch's uplinks.
const uplinkTag = "SYSTEM/DVS.UPLINKPG"

func isUplink(n *node) bool {
	if prop[bool](n.props, "config.uplink") {
		return true
	}
	for _, tag := range prop[types.ArrayOfTag](n.props, "tag").Tag {
		if tag.Key == uplinkTag {
			return true
		}
	}
	return false
}

func (c scope) networks(t *tree) []inventory.Network {
	out := []inventory.Network{}
	for _, n := range within(c.datacenter, t.of(networkTypes...)) {
		if isUplink(n) || c.compute != nil && !onAnyHost(n, c.compute) {
			continue
		}
		out = append(out, n.network())
	}
	return out
}

func (n *node) network() inventory.Network {
	out := inventory.Network{Object: n.object(), Kind: inventory.NetworkStandard, Hosts: []string{}}
	for _, ref := range refsOf(n.props, "host") {
		if host := n.tree.nodes[ref]; host != nil {
			out.Hosts = append(out.Hosts, host.name)
		}
	}
	slices.Sort(out.Hosts)
	switch n.ref.Type {
	case typeOpaque:
		out.Kind = inventory.NetworkOpaque
	case typePortgroup:
		out.Kind = inventory.NetworkDistributed
		if prop[string](n.props, "config.backingType") == string(types.DistributedVirtualPortgroupBackingTypeNsx) {
			out.Kind = inventory.NetworkNSX
		}
		if owner := n.tree.nodes[orZero(refOf(n.props, "config.distributedVirtualSwitch"))]; owner != nil {
			out.Switch = owner.name
		}
		setting := prop[types.VMwareDVSPortSetting](n.props, "config.defaultPortConfig")
		out.VLAN = vlanText(setting.Vlan)
	}
	return out
}

func orZero(ref *types.ManagedObjectReference) types.ManagedObjectReference {
	if ref == nil {
		return types.ManagedObjectReference{}
	}
	return *ref
}

// vlanText writes a port group's VLAN setting. The VLAN of a standard port group belongs to each host and is not known
// for the network as a whole.
func vlanText(setting types.BaseVmwareDistributedVirtualSwitchVlanSpec) string {
	switch vlan := setting.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		return strconv.Itoa(int(vlan.VlanId))
	case *types.VmwareDistributedVirtualSwitchPvlanSpec:
		return fmt.Sprintf("pvlan:%d", vlan.PvlanId)
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		ranges := make([]string, len(vlan.VlanId))
		for i, r := range vlan.VlanId {
			ranges[i] = strconv.Itoa(int(r.Start))
			if r.End != r.Start {
				ranges[i] += "-" + strconv.Itoa(int(r.End))
			}
		}
		return strings.Join(ranges, ",")
	}
	return ""
}
