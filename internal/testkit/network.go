package testkit

import (
	"fmt"
	"path"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func vlanSetting(vlan types.BaseVmwareDistributedVirtualSwitchVlanSpec) *types.VMwareDVSPortSetting {
	return &types.VMwareDVSPortSetting{Vlan: vlan}
}

func portGroupPlans(segment string) []types.DVPortgroupConfigSpec {
	early := string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding)
	single := func(id int32) *types.VMwareDVSPortSetting {
		return vlanSetting(&types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: id})
	}
	return []types.DVPortgroupConfigSpec{
		{Name: path.Base(NetworkK8s120), Type: early, NumPorts: 8, DefaultPortConfig: single(120)},
		{Name: path.Base(NetworkK8s121), Type: early, NumPorts: 8, DefaultPortConfig: single(121)},
		{
			Name: path.Base(NetworkTrunk), Type: early, NumPorts: 8,
			DefaultPortConfig: vlanSetting(&types.VmwareDistributedVirtualSwitchTrunkVlanSpec{
				VlanId: []types.NumericRange{{Start: 100, End: 199}, {Start: 300, End: 300}},
			}),
		},
		{
			Name: path.Base(NetworkNSX), Type: early, NumPorts: 8,
			BackingType:       string(types.DistributedVirtualPortgroupBackingTypeNsx),
			LogicalSwitchUuid: segment,
		},
	}
}

func (vc *VCenter) buildNetworks() error {
	folder, err := objectAt[*simulator.Folder](vc, path.Dir(SwitchNorth))
	if err != nil {
		return err
	}
	create := &types.CreateDVS_Task{Spec: types.DVSCreateSpec{ConfigSpec: &types.VMwareDVSConfigSpec{
		DVSConfigSpec: types.DVSConfigSpec{Name: path.Base(SwitchNorth)},
	}}}
	if _, err := vc.outcome(folder.CreateDVSTask(vc.context(), create)); err != nil {
		return fmt.Errorf("creating %s: %w", SwitchNorth, err)
	}
	dvs, err := objectAt[*simulator.DistributedVirtualSwitch](vc, SwitchNorth)
	if err != nil {
		return err
	}
	join := &types.DVSConfigSpec{}
	for _, ref := range vc.hostsOf(DatacenterNorth) {
		join.Host = append(join.Host, types.DistributedVirtualSwitchHostMemberConfigSpec{
			Operation: string(types.ConfigSpecOperationAdd), Host: ref,
		})
	}
	if _, err := vc.outcome(dvs.ReconfigureDvsTask(vc.context(), &types.ReconfigureDvs_Task{Spec: join})); err != nil {
		return fmt.Errorf("adding hosts to %s: %w", SwitchNorth, err)
	}
	segment := uuid.NewString()
	add := &types.AddDVPortgroup_Task{Spec: portGroupPlans(segment)}
	if _, err := vc.outcome(dvs.AddDVPortgroupTask(vc.context(), add)); err != nil {
		return fmt.Errorf("creating port groups: %w", err)
	}
	summary := types.OpaqueNetworkSummary{
		NetworkSummary:    types.NetworkSummary{Name: path.Base(NetworkOpaque)},
		OpaqueNetworkId:   segment,
		OpaqueNetworkType: "nsx.LogicalSwitch",
	}
	if err := folder.AddOpaqueNetwork(vc.context(), summary); err != nil {
		return fmt.Errorf("creating %s: %w", NetworkOpaque, err)
	}
	return vc.finishNetworks(dvs)
}

// finishNetworks sets what the simulator leaves out: the mark and name of the uplink port group, and the hosts of
// networks that are not distributed.
func (vc *VCenter) finishNetworks(dvs *simulator.DistributedVirtualSwitch) error {
	uplink, ok := vc.registry().Get(dvs.Portgroup[0]).(*simulator.DistributedVirtualPortgroup)
	if !ok {
		return fmt.Errorf("%w: %s", errNotFound, NetworkUplink)
	}
	name := path.Base(NetworkUplink)
	uplink.Name, uplink.Config.Name, uplink.Entity().Name = name, name, name
	uplink.Config.Uplink = types.NewBool(true)
	uplink.Tag = []types.Tag{{Key: "SYSTEM/DVS.UPLINKPG"}}
	dvs.Summary.PortgroupName[0] = name
	dvs.Config.GetDVSConfigInfo().UplinkPortgroup = []types.ManagedObjectReference{uplink.Self}

	opaque, err := objectAt[*mo.OpaqueNetwork](vc, NetworkOpaque)
	if err != nil {
		return err
	}
	opaque.Host = vc.hostsOf(DatacenterNorth)
	for _, p := range []struct{ path, datacenter string }{
		{NetworkStandard, DatacenterNorth}, {NetworkDR, DatacenterSouth},
	} {
		network, err := objectAt[*mo.Network](vc, p.path)
		if err != nil {
			return err
		}
		network.Host = vc.hostsOf(p.datacenter)
	}
	return nil
}

// hostsOf returns all hosts of a datacenter in the order of the plans.
func (vc *VCenter) hostsOf(datacenter string) []types.ManagedObjectReference {
	var hosts []types.ManagedObjectReference
	for _, plan := range clusterPlans {
		cluster, err := objectAt[*simulator.ClusterComputeResource](vc, plan.path)
		if err == nil && vc.datacenterOf(cluster).Name == datacenter {
			hosts = append(hosts, cluster.Host...)
		}
	}
	return hosts
}

// nicBacking returns how a card is attached to a network.
func (vc *VCenter) nicBacking(networkPath string) (types.BaseVirtualDeviceBackingInfo, error) {
	switch network := vc.lookup(networkPath).(type) {
	case *mo.Network:
		return &types.VirtualEthernetCardNetworkBackingInfo{
			VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: network.Name},
		}, nil
	case *simulator.DistributedVirtualPortgroup:
		dvs, ok := vc.registry().Get(*network.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
		if !ok {
			return nil, fmt.Errorf("%w: the switch of %s", errNotFound, networkPath)
		}
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: network.Key, SwitchUuid: dvs.Uuid},
		}, nil
	}
	return nil, fmt.Errorf("%w: network %s", errNotFound, networkPath)
}
