package payload

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

type metadata struct {
	InstanceID    text     `yaml:"instance-id"`
	LocalHostname text     `yaml:"local-hostname"`
	Redact        []text   `yaml:"redact"`
	WaitOnNetwork waitFor  `yaml:"wait-on-network"`
	Network       *network `yaml:"network"`
}

type waitFor struct {
	IPv4 bool `yaml:"ipv4"`
	IPv6 bool `yaml:"ipv6"`
}

type network struct {
	Version   int                 `yaml:"version"`
	Ethernets map[string]ethernet `yaml:"ethernets"`
}

type ethernet struct {
	Match          match       `yaml:"match"`
	SetName        text        `yaml:"set-name"`
	DHCP4          bool        `yaml:"dhcp4"`
	DHCP6          bool        `yaml:"dhcp6"`
	DHCPIdentifier text        `yaml:"dhcp-identifier"`
	DHCP4Overrides overrides   `yaml:"dhcp4-overrides"`
	DHCP6Overrides overrides   `yaml:"dhcp6-overrides"`
	Addresses      []text      `yaml:"addresses"`
	Routes         []route     `yaml:"routes"`
	NameServers    nameServers `yaml:"nameservers"`
	MTU            int         `yaml:"mtu"`
	Optional       bool        `yaml:"optional"`
	AcceptRA       bool        `yaml:"accept-ra"`
}

type match struct {
	Name       text `yaml:"name"`
	MACAddress text `yaml:"macaddress"`
}

type overrides struct {
	RouteMetric int   `yaml:"route-metric"`
	UseDNS      *bool `yaml:"use-dns"`
	UseRoutes   *bool `yaml:"use-routes"`
}

type route struct {
	To     text `yaml:"to"`
	Via    text `yaml:"via"`
	Metric int  `yaml:"metric"`
}

type nameServers struct {
	Addresses []text `yaml:"addresses"`
	Search    []text `yaml:"search"`
}

func (p *Payload) readMetadata(data []byte, machine Machine) error {
	var meta metadata
	if err := strictly(data, &meta); err != nil {
		return refuse(Metadata, "%w", err)
	}
	switch {
	case string(meta.InstanceID) != machine.InstanceUUID:
		return refuse(Metadata, "instance-id %q is not the instance UUID %q", meta.InstanceID, machine.InstanceUUID)
	case string(meta.LocalHostname) != machine.Name:
		return refuse(Metadata, "local-hostname %q is not the machine's name %q", meta.LocalHostname, machine.Name)
	case meta.Network == nil:
		return refuse(Metadata, "no network")
	case meta.Network.Version != 2:
		return refuse(Metadata, "network version %d, want 2", meta.Network.Version)
	}
	for _, key := range meta.Redact {
		if !slices.Contains([]text{"metadata", "userdata", "vendordata"}, key) {
			return refuse(Metadata, "redact: there is no key %q", key)
		}
		p.Redact = append(p.Redact, string(key))
	}
	if err := p.assignCards(meta.Network.Ethernets, machine.MACs); err != nil {
		return refuse(Metadata, "network: %w", err)
	}
	return p.checkWait(meta.WaitOnNetwork)
}

// assignCards finds the entry of each card: exactly one for each, and none left over.
func (p *Payload) assignCards(entries map[string]ethernet, macs []string) error {
	taken := map[string]bool{}
	for index, mac := range macs {
		var found []string
		for id, entry := range entries {
			if entry.Match.fits(index, mac) {
				found = append(found, id)
			}
		}
		if len(found) != 1 {
			return fmt.Errorf("card %d (%s) is matched by %d of %d entries, want one", index, mac, len(found), len(entries))
		}
		if taken[found[0]] {
			return fmt.Errorf("%s matches more than one card", found[0])
		}
		taken[found[0]] = true
		card, err := entries[found[0]].card(index)
		if err != nil {
			return fmt.Errorf("%s: %w", found[0], err)
		}
		p.Cards = append(p.Cards, card)
	}
	if len(taken) != len(entries) {
		return fmt.Errorf("%d entries for %d cards", len(entries), len(macs))
	}
	return nil
}

// fits tells whether a card is meant. Cards have names as vmxnet3 has them: ens192, ens224, ...
func (m match) fits(index int, mac string) bool {
	if m.MACAddress == "" && m.Name == "" {
		return false
	}
	if m.MACAddress != "" && !strings.EqualFold(string(m.MACAddress), mac) {
		return false
	}
	ok, err := path.Match(string(m.Name), fmt.Sprintf("ens%d", 192+32*index))
	return m.Name == "" || (err == nil && ok)
}

func (e ethernet) card(index int) (Card, error) {
	card := Card{Index: index, DHCP4: e.DHCP4, DHCP6: e.DHCP6}
	if !e.DHCP4 && !e.DHCP6 && len(e.Addresses) == 0 {
		return card, fmt.Errorf("neither addresses nor DHCP")
	}
	// Clones share the template's machine-id, from which DHCP clients otherwise make their identifier.
	if e.DHCP4 && e.DHCPIdentifier != "mac" {
		return card, fmt.Errorf("dhcp-identifier is %q: all clones would ask for one address", e.DHCPIdentifier)
	}
	var subnets []netip.Prefix
	for _, address := range e.Addresses {
		prefix, err := netip.ParsePrefix(string(address))
		if err != nil {
			return card, fmt.Errorf("address: %w", err)
		}
		subnets = append(subnets, prefix)
		card.Addresses = append(card.Addresses, prefix.String())
	}
	for _, r := range e.Routes {
		if err := r.check(subnets); err != nil {
			return card, err
		}
	}
	for _, server := range e.NameServers.Addresses {
		if _, err := netip.ParseAddr(string(server)); err != nil {
			return card, fmt.Errorf("name server: %w", err)
		}
	}
	return card, nil
}

func (r route) check(subnets []netip.Prefix) error {
	via, err := netip.ParseAddr(string(r.Via))
	if err != nil {
		return fmt.Errorf("route via: %w", err)
	}
	if r.To != "default" {
		if _, err := netip.ParsePrefix(string(r.To)); err != nil {
			return fmt.Errorf("route to: %w", err)
		}
	}
	reachable := slices.ContainsFunc(subnets, func(p netip.Prefix) bool { return p.Contains(via) })
	if !reachable && !via.IsLinkLocalUnicast() {
		return fmt.Errorf("route via %s: not in a network of the card", via)
	}
	return nil
}

// checkWait refuses to wait for what can never come: cloud-init would wait for ever.
func (p *Payload) checkWait(wait waitFor) error {
	var has4, has6 bool
	for _, card := range p.Cards {
		has4, has6 = has4 || card.DHCP4, has6 || card.DHCP6
		for _, address := range card.Addresses {
			prefix, err := netip.ParsePrefix(address)
			if err != nil {
				return refuse(Metadata, "%w", err)
			}
			has4, has6 = has4 || prefix.Addr().Is4(), has6 || prefix.Addr().Is6()
		}
	}
	if (wait.IPv4 && !has4) || (wait.IPv6 && !has6) {
		return refuse(Metadata, "wait-on-network waits for a family that no card has")
	}
	return nil
}
