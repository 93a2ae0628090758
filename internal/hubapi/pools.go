package hubapi

import (
	"net/netip"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/ippool"
)

// Arithmetic returns the pool's addresses in the form that package ippool calculates with.
func (s IPPoolSpec) Arithmetic() ippool.Spec {
	spec := ippool.Spec{Subnet: s.Subnet, Excluded: s.Excluded, Prefix: s.Prefix, Gateway: s.Gateway}
	for _, r := range s.Ranges {
		spec.Ranges = append(spec.Ranges, ippool.Span{Start: r.Start, End: r.End})
	}
	return spec
}

// Cooling tells whether a released address still rests and must not be leased.
func (s IPPoolSpec) Cooling(lease IPLease, now time.Time) bool {
	rest := time.Duration(s.CooldownSeconds) * time.Second
	return lease.ReleasedAt != nil && now.Before(lease.ReleasedAt.Add(rest))
}

// CountLeases returns the status of a pool with these leases: those whose rest is over are dropped, those that rest are
// neither used nor free, and those of addresses that the pool no longer has take nothing away from it.
func CountLeases(spec IPPoolSpec, pool ippool.Pool, leases []IPLease, now time.Time) IPPoolStatus {
	status := IPPoolStatus{Total: pool.Total()}
	inside := 0
	for _, lease := range leases {
		if lease.ReleasedAt != nil && !spec.Cooling(lease, now) {
			continue
		}
		if lease.ReleasedAt == nil {
			status.Used++
		}
		if addr, err := netip.ParseAddr(lease.Address); err == nil && pool.Contains(addr) {
			inside++
		}
		status.Leases = append(status.Leases, lease)
	}
	status.Free = max(status.Total-inside, 0)
	return status
}
