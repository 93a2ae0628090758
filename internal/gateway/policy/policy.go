// Package policy owns what the one who runs a gateway lets it reach and do, whatever a hub asks. It is read from a file on
// the gateway's machine; a hub can neither see nor widen it. It decides, and does nothing.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Policy narrows what a gateway does. The zero value lets it reach any vCenter that is not at one of the addresses that
// belong to the machine itself or to no single host.
type Policy struct {
	// AllowCIDRs are the networks the gateway may connect to; none means any. Loopback, link-local, multicast and unspecified
	// addresses are reached only where one of these holds them.
	AllowCIDRs []netip.Prefix `json:"allow_cidrs,omitempty"`
	// DenyCIDRs are networks the gateway never connects to.
	DenyCIDRs []netip.Prefix `json:"deny_cidrs,omitempty"`
	// VCenters are the vCenters the gateway works with, as host or host:port; none means any.
	VCenters []string `json:"vcenters,omitempty"`
	// Hubs are hosts, names or addresses without a port, at which the hub may say that further instances of it are. None are
	// needed on the hub's own host and, on the same port, under its domain.
	Hubs []string `json:"hubs,omitempty"`
	// ReadOnly lets the gateway read and preview, and change nothing.
	ReadOnly bool `json:"read_only,omitempty"`
}

// Parse reads a policy file, YAML or JSON. What it does not know it refuses: a word that is misspelt would allow too much.
func Parse(text []byte) (*Policy, error) {
	var p Policy
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	for i, prefix := range p.AllowCIDRs {
		p.AllowCIDRs[i] = plain(prefix)
	}
	for i, prefix := range p.DenyCIDRs {
		p.DenyCIDRs[i] = plain(prefix)
	}
	for i, host := range p.Hubs {
		p.Hubs[i] = strings.ToLower(strings.TrimSpace(host))
	}
	for i, host := range p.VCenters {
		canonical, err := hubapi.CanonicalVCenter(host)
		if err != nil {
			return nil, fmt.Errorf("reading the policy: vcenters: %w", err)
		}
		p.VCenters[i] = canonical
	}
	return &p, nil
}

// plain is a prefix without host bits, and of IPv4 where it is an IPv4-mapped one.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Reach tells why the gateway may not connect to an address, if so. It is asked with the address that a name was resolved
// to, when the connection is made.
func (p *Policy) Reach(addr netip.Addr) error {
	host := addr.Unmap().WithZone("")
	within := func(n netip.Prefix) bool { return n.Contains(host) }
	allowed := slices.ContainsFunc(p.AllowCIDRs, within)
	switch {
	case !host.IsValid():
		return refused(addr, "it is no address")
	case slices.ContainsFunc(p.DenyCIDRs, within):
		return refused(addr, "the gateway's policy denies it")
	case allowed:
		return nil
	case host.IsLoopback():
		return refused(addr, "it is the gateway's own machine")
	case host.IsLinkLocalUnicast(), host.IsMulticast(), host.IsUnspecified(), host == broadcast, special(host):
		return refused(addr, "it is not the address of one host in a network")
	case len(p.AllowCIDRs) > 0:
		return refused(addr, "the gateway's policy does not allow it")
	}
	return nil
}

var (
	broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisHost  = netip.MustParsePrefix("0.0.0.0/8")
	// embedding holds an IPv4 address that a translator would connect to.
	embedding = []netip.Prefix{
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
		netip.MustParsePrefix("::/96"),
	}
)

// special tells whether an address means this host, or is one of another kind in disguise.
func special(host netip.Addr) bool {
	return thisHost.Contains(host) || slices.ContainsFunc(embedding, func(n netip.Prefix) bool { return n.Contains(host) })
}

// VCenter tells why the gateway may not work with a vCenter, if so. The address is in its canonical form.
func (p *Policy) VCenter(host string) error {
	if len(p.VCenters) > 0 && !slices.Contains(p.VCenters, host) {
		return forbidden("the gateway's policy does not allow the vCenter %s", host)
	}
	return nil
}

// RefusedError is an address that the gateway may not connect to.
type RefusedError struct {
	Addr   netip.Addr
	Reason string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the gateway does not connect to %s: %s", e.Addr, e.Reason)
}

func refused(addr netip.Addr, reason string) error { return &RefusedError{Addr: addr, Reason: reason} }

func forbidden(format string, args ...any) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeForbidden, format, args...).At("/vcenter").
		WithHint("Whoever runs the gateway can change its policy file.")
}
