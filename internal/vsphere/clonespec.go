package vsphere

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// spot is a placement resolved to references.
type spot struct {
	datacenter, compute, pool, datastore *node
	networks                             []*node
	// host is set where there is no DRS to choose one.
	host *types.ManagedObjectReference
}

// resolve finds the objects of a placement in the inventory.
func (t *tree) resolve(datacenter string, p cluster.Placement, id cluster.Identity) (spot, error) {
	var at spot
	var err error
	if at.datacenter, err = t.findDatacenter(datacenter); err != nil {
		return spot{}, err
	}
	at.compute, err = pick("compute cluster", p.ComputeCluster, t.computeClusters(at.datacenter))
	if err != nil {
		return spot{}, err
	}
	if at.pool, err = t.findPool(at.compute, p.ResourcePool); err != nil {
		return spot{}, err
	}
	at.datastore, err = pick("datastore", p.Datastore, within(at.datacenter, t.of(typeDatastore)))
	if err != nil {
		return spot{}, err
	}
	for _, name := range p.Networks {
		network, err := pick("network", name, t.networksFor(at.datacenter, at.compute, name))
		if err != nil {
			return spot{}, err
		}
		at.networks = append(at.networks, network)
	}
	config := prop[types.ClusterConfigInfoEx](at.compute.props, "configurationEx")
	if at.compute.ref.Type == typeCluster && !isTrue(config.DrsConfig.Enabled) {
		at.host, err = at.chooseHost(id)
	}
	return at, err
}

// chooseHost spreads the machines of a pool evenly over the hosts that can run them, by ordinal: without DRS nothing else
// keeps control planes apart, and this way a machine made again after a crash goes where it would have gone.
func (at spot) chooseHost(id cluster.Identity) (*types.ManagedObjectReference, error) {
	mounted := at.datastore.mountedOn()
	fits := slices.DeleteFunc(at.compute.hosts(), func(host *node) bool {
		if !host.usable() || !mounted[host.ref] {
			return true
		}
		return slices.ContainsFunc(at.networks, func(network *node) bool {
			return !slices.Contains(refsOf(network.props, "host"), host.ref)
		})
	})
	if len(fits) == 0 {
		fault := &types.NoCompatibleHost{}
		return nil, &FaultError{
			Op: "choose a host", Object: at.compute.path(), Fault: faultName(fault), fault: fault,
			Message: "no connected host outside maintenance mode has the datastore and the networks",
		}
	}
	start := fnv.New32a()
	_, _ = start.Write([]byte(id.Cluster + "/" + id.Pool)) // never fails
	index := (int(start.Sum32()%uint32(len(fits))) + id.Ordinal) % len(fits)
	return &fits[index].ref, nil
}

// cloneSpec is the whole machine in one task: identity, place, hardware, networks and boot data.
func (r CloneRequest) cloneSpec(
	at spot, folder types.ManagedObjectReference, from *template,
) (*types.VirtualMachineCloneSpec, error) {
	edits, changes, err := r.cardChanges(at, from)
	if err != nil {
		return nil, err
	}
	grown, err := r.diskChange(from)
	if err != nil {
		return nil, err
	}
	edits = append(edits, grown...)
	extraConfig, err := r.extraConfig()
	if err != nil {
		return nil, err
	}
	spec := &types.VirtualMachineCloneSpec{
		PowerOn: true,
		Location: types.VirtualMachineRelocateSpec{
			Folder: &folder, Pool: &at.pool.ref, Datastore: &at.datastore.ref, Host: at.host,
			DiskMoveType: string(types.VirtualMachineRelocateDiskMoveOptionsMoveAllDiskBackingsAndDisallowSharing),
			DeviceChange: edits,
		},
		Config: &types.VirtualMachineConfigSpec{
			Name: r.Name, InstanceUuid: r.Owner.InstanceUUID(), Annotation: r.Annotation,
			NumCPUs: int32(r.CPU), MemoryMB: int64(r.MemoryMiB),
			// One core a socket divides every number of CPUs, so that a template's own figure never stands in the way.
			NumCoresPerSocket: types.NewInt32(1),
			Flags:             &types.VirtualMachineFlagInfo{DiskUuidEnabled: types.NewBool(true)},
			// With OVF properties left, cloud-init may choose them as its data source.
			VAppConfigRemoved: types.NewBool(true),
			ExtraConfig:       extraConfig,
			DeviceChange:      changes,
		},
	}
	if r.Linked {
		if from.snapshot == nil {
			return nil, fmt.Errorf("linked clone of %s: the template has no snapshot", from.path)
		}
		spec.Snapshot = from.snapshot
		spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
	return spec, nil
}

func (r CloneRequest) extraConfig() ([]types.BaseOptionValue, error) {
	node, err := json.Marshal(r.Node)
	if err != nil {
		return nil, fmt.Errorf("writing node metadata: %w", err)
	}
	values := maps.Clone(r.GuestInfo)
	if values == nil {
		values = map[string]string{}
	}
	values[cluster.OwnerKey] = r.Owner.Encode()
	values[cluster.NodeKey] = string(node)
	// A template may have been made from a machine: its traces must not speak for the new one.
	values[cluster.JoinedKey], values[cluster.ProgressKey] = "", ""
	return optionValues(values), nil
}

// optionValues are extraConfig values in a stable order. An empty value removes the key.
func optionValues(values map[string]string) []types.BaseOptionValue {
	options := make([]types.BaseOptionValue, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		options = append(options, &types.OptionValue{Key: key, Value: values[key]})
	}
	return options
}

// cardChanges makes the template's network cards into one card for each network. A card that only changes its network is
// edited, which belongs into the location; whatever is added, removed or gets an address of its own belongs into the
// configuration.
func (r CloneRequest) cardChanges(
	at spot, from *template,
) (edits, changes []types.BaseVirtualDeviceConfigSpec, err error) {
	cards := ethernetCards(from.devices)
	for i, network := range at.networks {
		backing, err := cardBacking(network)
		if err != nil {
			return nil, nil, err
		}
		mac := ""
		if i < len(r.MACs) {
			mac = r.MACs[i]
		}
		if i < len(cards) && mac == "" && isVmxnet3(cards[i]) {
			key := cards[i].GetVirtualEthernetCard().Key
			edits = append(edits, deviceChange(types.VirtualDeviceConfigSpecOperationEdit, newCard(key, backing, "")))
			continue
		}
		if i < len(cards) {
			changes = append(changes, removal(cards[i]))
		}
		card := newCard(int32(-100-i), backing, mac)
		changes = append(changes, deviceChange(types.VirtualDeviceConfigSpecOperationAdd, card))
	}
	for _, card := range cards[min(len(cards), len(at.networks)):] {
		changes = append(changes, removal(card))
	}
	return edits, changes, nil
}

// ethernetCard is a network card of any kind.
type ethernetCard interface {
	types.BaseVirtualDevice
	types.BaseVirtualEthernetCard
}

func removal(card ethernetCard) *types.VirtualDeviceConfigSpec {
	return deviceChange(types.VirtualDeviceConfigSpecOperationRemove, card)
}

func deviceChange(
	op types.VirtualDeviceConfigSpecOperation, device types.BaseVirtualDevice,
) *types.VirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{Operation: op, Device: device}
}

func isVmxnet3(card ethernetCard) bool {
	_, ok := card.(*types.VirtualVmxnet3)
	return ok
}

// ethernetCards are the network cards among devices, by device key.
func ethernetCards(devices []types.BaseVirtualDevice) []ethernetCard {
	var cards []ethernetCard
	for _, device := range devices {
		if card, ok := device.(ethernetCard); ok {
			cards = append(cards, card)
		}
	}
	slices.SortFunc(cards, func(a, b ethernetCard) int {
		return int(a.GetVirtualEthernetCard().Key) - int(b.GetVirtualEthernetCard().Key)
	})
	return cards
}

func newCard(key int32, backing types.BaseVirtualDeviceBackingInfo, mac string) *types.VirtualVmxnet3 {
	card := &types.VirtualVmxnet3{}
	card.Key, card.Backing = key, backing
	card.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true, Connected: true}
	card.AddressType = string(types.VirtualEthernetCardMacTypeGenerated)
	card.WakeOnLanEnabled = types.NewBool(true)
	if mac != "" {
		card.AddressType, card.MacAddress = string(types.VirtualEthernetCardMacTypeManual), mac
	}
	return card
}

// cardBacking connects a card to a network.
func cardBacking(network *node) (types.BaseVirtualDeviceBackingInfo, error) {
	switch network.ref.Type {
	case typePortgroup:
		owner := network.tree.nodes[orZero(refOf(network.props, "config.distributedVirtualSwitch"))]
		if owner == nil || !slices.Contains(switchTypes, owner.ref.Type) {
			return nil, &NotFoundError{Kind: "distributed switch of network", Name: network.path()}
		}
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{
				SwitchUuid: prop[string](owner.props, "uuid"), PortgroupKey: prop[string](network.props, "key"),
			},
		}, nil
	case typeOpaque:
		summary := prop[types.OpaqueNetworkSummary](network.props, "summary")
		return &types.VirtualEthernetCardOpaqueNetworkBackingInfo{
			OpaqueNetworkId: summary.OpaqueNetworkId, OpaqueNetworkType: summary.OpaqueNetworkType,
		}, nil
	}
	backing := &types.VirtualEthernetCardNetworkBackingInfo{Network: &network.ref}
	backing.DeviceName = network.name
	return backing, nil
}

// diskChange grows the template's first disk to the wanted size.
func (r CloneRequest) diskChange(from *template) ([]types.BaseVirtualDeviceConfigSpec, error) {
	disks := virtualDisks(from.devices)
	if len(disks) == 0 {
		return nil, fmt.Errorf("clone of %s: the template has no disk", from.path)
	}
	has := capacityGiB(disks[0])
	switch {
	case r.DiskGiB == 0 || r.DiskGiB == has:
		return nil, nil
	case r.DiskGiB < has:
		return nil, fmt.Errorf("clone of %s: its disk has %d GiB and cannot shrink to %d", from.path, has, r.DiskGiB)
	case r.Linked:
		return nil, fmt.Errorf("linked clone of %s: its disk has %d GiB and cannot grow to %d", from.path, has, r.DiskGiB)
	}
	return []types.BaseVirtualDeviceConfigSpec{growDisk(disks[0], r.DiskGiB)}, nil
}

func growDisk(disk *types.VirtualDisk, sizeGiB int) *types.VirtualDeviceConfigSpec {
	grown := *disk
	grown.CapacityInBytes = int64(sizeGiB) * gib
	grown.CapacityInKB = grown.CapacityInBytes / 1024
	return deviceChange(types.VirtualDeviceConfigSpecOperationEdit, &grown)
}

// cloneTemplate is the template of an owner record, from the cache where it is known.
func (s *Session) cloneTemplate(ctx context.Context, t *tree, path string) (*template, error) {
	s.cache.mutex.Lock()
	known := s.cache.templates[path]
	s.cache.mutex.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := s.templateAt(ctx, t, path)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &NotFoundError{Kind: "template", Name: path}
	}
	return found, nil
}
