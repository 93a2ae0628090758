package ippool

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Spec is a pool as a person writes it. Exactly one of Ranges and Subnet is set.
type Spec struct {
	Ranges []Span
	// Subnet is a prefix such as "10.10.0.0/24". Host bits are an error, being more likely a typing error than meant.
	Subnet string
	// Excluded are addresses, ranges "a-b" or prefixes.
	Excluded []string
	// Prefix is the length of the network the addresses are on; 0 takes Subnet's.
	Prefix int
	// Gateway may be "" for a network without one.
	Gateway string
}

// Span is an inclusive range as text.
type Span struct {
	Start, End string
}

// FieldError is one mistake in a Spec.
type FieldError struct {
	// Field is a JSON pointer such as "/ranges/0/start", or "" for the whole.
	Field   string
	Message string
}

// Error implements error.
func (e FieldError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// ParseSpec reads and checks a Spec. All mistakes are returned; the pool is usable only when there are none.
func ParseSpec(spec Spec) (Pool, []FieldError) {
	p := &parser{}
	ranges := p.ranges(spec)
	if len(p.errs) > 0 {
		return Pool{}, p.errs
	}
	network := p.network(spec, ranges)
	if len(p.errs) > 0 {
		return Pool{}, p.errs
	}
	gateway := p.gateway(spec.Gateway, network)
	excluded := p.excluded(spec.Excluded, ranges)
	if len(p.errs) > 0 {
		return Pool{}, p.errs
	}

	slices.SortFunc(ranges, func(a, b Range) int { return a.Start.Compare(b.Start) })
	for _, addr := range append(reserved(network), gateway) {
		if addr.IsValid() {
			excluded = append(excluded, Range{Start: addr, End: addr})
		}
	}
	for _, gone := range excluded {
		ranges = without(ranges, gone)
	}
	if len(ranges) == 0 {
		p.fail("", "no address is left to hand out: all are excluded, the gateway's, or the network's own")
		return Pool{}, p.errs
	}
	return Pool{free: ranges, network: network, gateway: gateway}, nil
}

// parser collects mistakes, so that a person sees all of them at once.
type parser struct {
	errs []FieldError
}

func (p *parser) fail(field, format string, args ...any) {
	p.errs = append(p.errs, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) ranges(spec Spec) []Range {
	switch {
	case spec.Subnet != "" && len(spec.Ranges) > 0:
		p.fail("/subnet", "give either ranges or a subnet, not both")
		return nil
	case spec.Subnet != "":
		subnet, err := parsePrefix(spec.Subnet)
		if err != nil {
			p.fail("/subnet", "%v", err)
			return nil
		}
		return []Range{rangeOf(subnet)}
	case len(spec.Ranges) == 0:
		p.fail("", "give at least one range, or a subnet")
		return nil
	}
	ranges := make([]Range, 0, len(spec.Ranges))
	for i, span := range spec.Ranges {
		field := fmt.Sprintf("/ranges/%d", i)
		r, ok := p.span(field, span)
		if !ok {
			continue
		}
		for _, earlier := range ranges {
			if r.Intersects(earlier) {
				p.fail(field, "overlaps another range, %s-%s", earlier.Start, earlier.End)
				break
			}
		}
		if len(ranges) > 0 && ranges[0].Start.BitLen() != r.Start.BitLen() {
			p.fail(field, "IPv4 and IPv6 addresses cannot be mixed in one pool")
		}
		ranges = append(ranges, r)
	}
	return ranges
}

func (p *parser) span(field string, span Span) (Range, bool) {
	start, err := parseAddr(span.Start)
	if err != nil {
		p.fail(field+"/start", "%v", err)
	}
	end, endErr := parseAddr(span.End)
	if endErr != nil {
		p.fail(field+"/end", "%v", endErr)
	}
	if err != nil || endErr != nil {
		return Range{}, false
	}
	if start.BitLen() != end.BitLen() {
		p.fail(field+"/end", "start %s and end %s are not of one family", start, end)
		return Range{}, false
	}
	if end.Compare(start) < 0 {
		p.fail(field+"/end", "the end %s is before the start %s", end, start)
		return Range{}, false
	}
	return Range{Start: start, End: end}, true
}

func (p *parser) network(spec Spec, ranges []Range) netip.Prefix {
	first := ranges[0].Start
	length := spec.Prefix
	if length == 0 && spec.Subnet != "" {
		length = netip.MustParsePrefix(spec.Subnet).Bits()
	}
	if length < 1 || length > first.BitLen() {
		p.fail("/prefix", "the prefix length must be from 1 to %d", first.BitLen())
		return netip.Prefix{}
	}
	network := netip.PrefixFrom(first, length).Masked()
	for i, r := range ranges {
		switch {
		case r.Inside(network):
		case spec.Subnet != "":
			p.fail("/prefix", "the subnet %s is wider than the prefix length %d", spec.Subnet, length)
		case r.Inside(netip.PrefixFrom(r.Start, length).Masked()):
			p.fail(fmt.Sprintf("/ranges/%d", i), "the range %s-%s is not on the network %s of the first range",
				r.Start, r.End, network)
		default:
			p.fail(fmt.Sprintf("/ranges/%d", i), "the range %s-%s is wider than the prefix length %d",
				r.Start, r.End, length)
		}
	}
	return network
}

func (p *parser) gateway(text string, network netip.Prefix) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	gateway, err := parseAddr(text)
	switch {
	case err != nil:
		p.fail("/gateway", "%v", err)
	case gateway.BitLen() != network.Addr().BitLen():
		p.fail("/gateway", "the gateway %s is not of the same family as the addresses", gateway)
	case gateway.Is6() && gateway.IsLinkLocalUnicast():
		// Routers announce themselves by link-local addresses, which are on every IPv6 network.
		return gateway
	case !network.Contains(gateway):
		p.fail("/gateway", "the gateway %s is outside the network %s", gateway, network)
	case slices.Contains(reserved(network), gateway) && network.Addr().Is4():
		p.fail("/gateway", "the gateway %s is the network's own or its broadcast address", gateway)
	}
	return gateway
}

func (p *parser) excluded(texts []string, ranges []Range) []Range {
	excluded := make([]Range, 0, len(texts))
	for i, text := range texts {
		field := fmt.Sprintf("/excluded/%d", i)
		r, err := parseExcluded(text)
		if err != nil {
			p.fail(field, "%v", err)
			continue
		}
		if !slices.ContainsFunc(ranges, r.Intersects) {
			p.fail(field, "%s is outside the pool", text)
			continue
		}
		excluded = append(excluded, r)
	}
	return excluded
}

func parseExcluded(text string) (Range, error) {
	if strings.Contains(text, "/") {
		prefix, err := parsePrefix(text)
		if err != nil {
			return Range{}, err
		}
		return rangeOf(prefix), nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	start, err := parseAddr(strings.TrimSpace(from))
	if err != nil {
		return Range{}, err
	}
	end, err := parseAddr(strings.TrimSpace(to))
	if err != nil {
		return Range{}, err
	}
	if start.BitLen() != end.BitLen() {
		return Range{}, fmt.Errorf("start %s and end %s are not of one family", start, end)
	}
	if end.Compare(start) < 0 {
		return Range{}, fmt.Errorf("the end %s is before the start %s", end, start)
	}
	return Range{Start: start, End: end}, nil
}

func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	case addr.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%q must not have a zone", text)
	case addr.Is4In6():
		return netip.Addr{}, fmt.Errorf("%q is an IPv4 address in IPv6 form: write it as %s", text, addr.Unmap())
	case addr.IsUnspecified(), addr.IsLoopback(), addr.IsMulticast():
		return netip.Addr{}, fmt.Errorf("%q is not an address a machine can have", text)
	}
	return addr, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is not a network such as 10.10.0.0/24", text)
	case prefix.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%q is the whole address space", text)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network in IPv6 form", text)
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has host bits set: the network is %s", text, prefix.Masked())
	case prefix.Addr().IsMulticast(), prefix.Addr().IsLoopback():
		return netip.Prefix{}, fmt.Errorf("%q has no addresses a machine can have", text)
	}
	return prefix, nil
}
