package bootstrap

import (
	"fmt"
	"net/netip"
	"strings"

	"sigs.k8s.io/yaml"
)

// lesserMetric ranks a default route behind that of the first card; netplan and networkd use at most 1024 themselves.
const lesserMetric = 2048

// metadataDocument is what cloud-init's VMware data source knows of a machine before it looks at user data.
type metadataDocument struct {
	InstanceID    string          `json:"instance-id"`
	LocalHostname string          `json:"local-hostname"`
	Network       networkDocument `json:"network"`
	// Redact makes cloud-init overwrite these keys as soon as it has read them.
	Redact        []string        `json:"redact"`
	WaitOnNetwork map[string]bool `json:"wait-on-network"`
}

// networkDocument is cloud-init's network configuration, version 2.
type networkDocument struct {
	Version   int                 `json:"version"`
	Ethernets map[string]ethernet `json:"ethernets"`
}

type ethernet struct {
	Match match `json:"match"`
	DHCP4 bool  `json:"dhcp4"`
	DHCP6 bool  `json:"dhcp6"`
	// DHCPIdentifier "mac" gives clones of one machine-id different leases.
	DHCPIdentifier string         `json:"dhcp-identifier,omitempty"`
	DHCP4Overrides *dhcpOverrides `json:"dhcp4-overrides,omitempty"`
	DHCP6Overrides *dhcpOverrides `json:"dhcp6-overrides,omitempty"`
	Addresses      []string       `json:"addresses,omitempty"`
	Routes         []route        `json:"routes,omitempty"`
	NameServers    *nameServers   `json:"nameservers,omitempty"`
}

type match struct {
	Name       string `json:"name,omitempty"`
	MACAddress string `json:"macaddress,omitempty"`
}

type dhcpOverrides struct {
	RouteMetric int `json:"route-metric"`
}

type route struct {
	To     string `json:"to"`
	Via    string `json:"via"`
	Metric int    `json:"metric,omitempty"`
}

type nameServers struct {
	Addresses []string `json:"addresses,omitempty"`
	Search    []string `json:"search,omitempty"`
}

func metadata(p plan) ([]byte, error) {
	cards := make(map[string]ethernet, len(p.Interfaces))
	for i, nic := range p.Interfaces {
		cards[fmt.Sprintf("id%d", i)] = nic.ethernet(i == 0, p.families)
	}
	wait := "ipv4"
	if p.families[0] == ipv6 {
		wait = "ipv6"
	}
	data, err := yaml.Marshal(metadataDocument{
		InstanceID:    p.InstanceUUID,
		LocalHostname: p.Name,
		Network:       networkDocument{Version: 2, Ethernets: cards},
		Redact:        []string{"userdata", "vendordata"},
		WaitOnNetwork: map[string]bool{wait: true},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding metadata: %w", err)
	}
	return data, nil
}

// ethernet describes a card. The first card has the default route, whatever the others are offered.
func (n Interface) ethernet(first bool, families []family) ethernet {
	e := ethernet{Match: match{Name: "e*"}}
	if n.MAC != "" {
		e.Match = match{MACAddress: strings.ToLower(n.MAC)}
	}
	metric := 0
	if !first {
		metric = lesserMetric
	}
	if len(n.Addresses) == 0 {
		e.dhcp(families, metric)
	}
	for _, prefix := range n.Addresses {
		e.Addresses = append(e.Addresses, prefix.String())
	}
	if n.Gateway.IsValid() {
		e.Routes = []route{{To: everywhere(n.Gateway), Via: n.Gateway.String(), Metric: metric}}
	}
	if len(n.NameServers) > 0 || len(n.SearchDomains) > 0 {
		e.NameServers = &nameServers{Search: n.SearchDomains}
		for _, server := range n.NameServers {
			e.NameServers.Addresses = append(e.NameServers.Addresses, server.String())
		}
	}
	return e
}

func (e *ethernet) dhcp(families []family, metric int) {
	e.DHCPIdentifier = "mac"
	for _, f := range families {
		var overrides *dhcpOverrides
		if metric > 0 {
			overrides = &dhcpOverrides{RouteMetric: metric}
		}
		if f == ipv6 {
			e.DHCP6, e.DHCP6Overrides = true, overrides
		} else {
			e.DHCP4, e.DHCP4Overrides = true, overrides
		}
	}
}

// everywhere is the default route's destination in full: cloud-init before 23 refuses the word "default". (It also
// needs netplan to take the IPv6 one; other renderers of those versions write ::/64.)
func everywhere(gateway netip.Addr) string {
	if familyOf(gateway) == ipv6 {
		return "::/0"
	}
	return "0.0.0.0/0"
}
