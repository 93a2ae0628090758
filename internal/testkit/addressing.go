package testkit

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

// dhcpRanges are where DHCP addresses of a network come from, by the network's name. The first half of each /16 is free
// for static addresses.
var dhcpRanges = map[string]netip.Prefix{
	path.Base(NetworkK8s120):   netip.MustParsePrefix("10.120.128.0/17"),
	path.Base(NetworkK8s121):   netip.MustParsePrefix("10.121.128.0/17"),
	path.Base(NetworkTrunk):    netip.MustParsePrefix("10.122.128.0/17"),
	path.Base(NetworkNSX):      netip.MustParsePrefix("10.123.128.0/17"),
	path.Base(NetworkOpaque):   netip.MustParsePrefix("10.124.128.0/17"),
	path.Base(NetworkStandard): netip.MustParsePrefix("10.10.128.0/17"),
}

// addressing knows who has which address.
type addressing struct {
	// holders maps "network|address" to the instance UUID of the running guest that has it.
	holders map[string]string
	// leases maps "network|instance UUID|family" to a DHCP address; they are for ever.
	leases map[string]string
	next   map[string]int
}

// hold notes that a guest has an address and returns who has it already, "" for nobody.
func (a *addressing) hold(network, address, instanceUUID string) string {
	key := network + "|" + address
	if holder := a.holders[key]; holder != "" && holder != instanceUUID {
		return holder
	}
	a.holders[key] = instanceUUID
	return ""
}

func (a *addressing) release(instanceUUID string) {
	for key, holder := range a.holders {
		if holder == instanceUUID {
			delete(a.holders, key)
		}
	}
}

// lease returns the DHCP address of a guest, the same at each boot.
func (a *addressing) lease(network, instanceUUID string, v6 bool) netip.Prefix {
	subnet, ok := dhcpRanges[network]
	if !ok {
		subnet = netip.MustParsePrefix("10.200.128.0/17")
	}
	bits := 16
	if v6 {
		bits = 64
	}
	key := fmt.Sprintf("%s|%s|%t", network, instanceUUID, v6)
	if text, ok := a.leases[key]; ok {
		return netip.PrefixFrom(netip.MustParseAddr(text), bits)
	}
	address := subnet.Addr()
	a.next[network]++
	raw := address.As4()
	n := a.next[network] + 9
	raw[2] += byte(n >> 8)
	raw[3] = byte(n)
	address = netip.AddrFrom4(raw)
	if v6 {
		address = netip.MustParseAddr(fmt.Sprintf("fd00:%x:%x::%x", raw[0], raw[1], n))
	}
	a.leases[key] = address.String()
	return netip.PrefixFrom(address, bits)
}

// takeAddresses configures the cards and lets the tools tell it.
func (g *guest) takeAddresses(p *payload.Payload) error {
	return g.onVM(func(ctx *simulator.Context) {
		host, _ := g.vc.registry().Get(*g.vm.Runtime.Host).(*simulator.HostSystem)
		info := awake(g.vm.Config.GuestId, g.name)
		for i, card := range cardsOf(g.vm) {
			if i >= len(p.Cards) {
				break
			}
			network := g.vc.networkName(card.Backing, host)
			nic := types.GuestNicInfo{
				Network: network, MacAddress: card.MacAddress, Connected: true, DeviceConfigId: card.Key,
				IpConfig: &types.NetIpConfigInfo{},
			}
			for _, prefix := range g.addresses(p.Cards[i], network) {
				addAddress(&nic, prefix)
				if info.IpAddress == "" {
					info.IpAddress = prefix.Addr().String()
				}
			}
			info.Net = append(info.Net, nic)
		}
		publishGuest(ctx, g.vm, info)
	})
}

func addAddress(nic *types.GuestNicInfo, prefix netip.Prefix) {
	nic.IpAddress = append(nic.IpAddress, prefix.Addr().String())
	nic.IpConfig.IpAddress = append(nic.IpConfig.IpAddress, types.NetIpConfigInfoIpAddress{
		IpAddress: prefix.Addr().String(), PrefixLength: int32(prefix.Bits()), State: "preferred",
	})
}

// addresses returns a card's addresses and notes who has them. An address that another has already is a violation.
func (g *guest) addresses(card payload.Card, network string) []netip.Prefix {
	guests := g.vc.guests
	guests.mu.Lock()
	defer guests.mu.Unlock()
	var prefixes []netip.Prefix
	for _, text := range card.Addresses {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	if card.DHCP4 {
		prefixes = append(prefixes, guests.network.lease(network, g.instanceUUID, false))
	}
	if card.DHCP6 {
		prefixes = append(prefixes, guests.network.lease(network, g.instanceUUID, true))
	}
	for _, prefix := range prefixes {
		address := prefix.Addr().String()
		if holder := guests.network.hold(network, address, g.instanceUUID); holder != "" {
			guests.violations = append(guests.violations,
				fmt.Sprintf("address %s on %s: %s (%s) takes what %s has", address, network, g.name, g.instanceUUID, holder))
		}
		for endpoint, cluster := range guests.kubernetes.clusters {
			if strings.HasPrefix(endpoint, address+":") && cluster.alive() {
				guests.violations = append(guests.violations,
					fmt.Sprintf("address %s on %s: %s takes the endpoint of a cluster", address, network, g.name))
			}
		}
	}
	return prefixes
}

func (vc *VCenter) networkName(backing types.BaseVirtualDeviceBackingInfo, host *simulator.HostSystem) string {
	return path.Base(vc.pathOfObject(vc.networkOf(backing, host)))
}

// awake is what vCenter knows of a guest whose tools run.
func awake(guestID, hostname string) *types.GuestInfo {
	info := asleep(guestID)
	info.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	info.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	info.GuestState = string(types.VirtualMachineGuestStateRunning)
	info.HostName = hostname
	info.GuestFamily = string(types.VirtualMachineGuestOsFamilyLinuxGuest)
	return info
}
