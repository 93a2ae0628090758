// Package ippool owns the arithmetic of address pools: which addresses a pool hands out, how many there are, and which is
// next. It is pure and never enumerates a range, so that an IPv6 /64 costs as little as an IPv4 /29. Leases are kept by
// others; they ask Next with the addresses that are taken.
package ippool

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// Range is an inclusive range of addresses of one family.
type Range struct {
	Start, End netip.Addr
}

// Contains tells whether the address lies in the range.
func (r Range) Contains(addr netip.Addr) bool {
	return r.Start.BitLen() == addr.BitLen() && r.Start.Compare(addr) <= 0 && addr.Compare(r.End) <= 0
}

// Intersects tells whether the two ranges have an address in common.
func (r Range) Intersects(other Range) bool {
	return r.Contains(other.Start) || other.Contains(r.Start)
}

// Inside tells whether all addresses of the range are in the prefix.
func (r Range) Inside(prefix netip.Prefix) bool {
	return prefix.Contains(r.Start) && prefix.Contains(r.End)
}

// size counts the range's addresses, at most math.MaxInt.
func (r Range) size() int {
	start, end := r.Start.As16(), r.End.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(end[8:]), binary.BigEndian.Uint64(start[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(end[:8]), binary.BigEndian.Uint64(start[:8]), borrow)
	if high > 0 || low >= math.MaxInt {
		return math.MaxInt
	}
	return int(low) + 1
}

// Pool is the set of addresses that may be handed out: what was configured less network and broadcast addresses, the
// gateway and the excluded ones. The zero Pool has no address.
type Pool struct {
	// free are disjoint ranges in ascending order.
	free    []Range
	network netip.Prefix
	gateway netip.Addr
}

// Network is the network that the addresses are on; its length is the prefix length machines configure.
func (p Pool) Network() netip.Prefix { return p.network }

// Gateway is the default gateway; it is not valid when the pool has none.
func (p Pool) Gateway() netip.Addr { return p.gateway }

// Total counts the addresses of the pool, at most math.MaxInt.
func (p Pool) Total() int {
	total := 0
	for _, r := range p.free {
		size := r.size()
		if size > math.MaxInt-total {
			return math.MaxInt
		}
		total += size
	}
	return total
}

// Contains tells whether the pool may hand the address out.
func (p Pool) Contains(addr netip.Addr) bool {
	i, _ := slices.BinarySearchFunc(p.free, addr, func(r Range, a netip.Addr) int { return r.End.Compare(a) })
	return i < len(p.free) && p.free[i].Contains(addr)
}

// Overlaps returns the lowest address that both pools may hand out.
func (p Pool) Overlaps(other Pool) (netip.Addr, bool) {
	for i, j := 0, 0; i < len(p.free) && j < len(other.free); {
		a, b := p.free[i], other.free[j]
		switch {
		case a.Intersects(b):
			if a.Start.Compare(b.Start) < 0 {
				return b.Start, true
			}
			return a.Start, true
		case a.End.Compare(b.End) < 0:
			i++
		default:
			j++
		}
	}
	return netip.Addr{}, false
}

// Next returns the lowest address that is not taken. It asks taken once for each address that is, and once more.
func (p Pool) Next(taken func(netip.Addr) bool) (netip.Addr, bool) {
	for _, r := range p.free {
		for addr := r.Start; ; addr = addr.Next() {
			if !taken(addr) {
				return addr, true
			}
			if addr == r.End {
				break
			}
		}
	}
	return netip.Addr{}, false
}

// without returns the ranges less the given one; both are ascending and disjoint.
func without(ranges []Range, gone Range) []Range {
	rest := make([]Range, 0, len(ranges)+1)
	for _, r := range ranges {
		if !r.Intersects(gone) {
			rest = append(rest, r)
			continue
		}
		if r.Start.Compare(gone.Start) < 0 {
			rest = append(rest, Range{Start: r.Start, End: gone.Start.Prev()})
		}
		if gone.End.Compare(r.End) < 0 {
			rest = append(rest, Range{Start: gone.End.Next(), End: r.End})
		}
	}
	return rest
}

// rangeOf returns all addresses of a prefix.
func rangeOf(prefix netip.Prefix) Range {
	prefix = prefix.Masked()
	end := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < prefix.Addr().BitLen(); bit++ {
		end[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(end)
	return Range{Start: prefix.Addr(), End: last}
}

// reserved are the addresses of a network that no machine may have: an IPv4 network's own address and its broadcast
// address (RFC 3021 frees both in a /31), and IPv6's subnet-router anycast address (RFC 4291; RFC 6164 frees it in a /127).
func reserved(network netip.Prefix) []netip.Addr {
	if network.Bits() >= network.Addr().BitLen()-1 {
		return nil
	}
	all := rangeOf(network)
	if network.Addr().Is4() {
		return []netip.Addr{all.Start, all.End}
	}
	return []netip.Addr{all.Start}
}
