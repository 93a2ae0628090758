package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/ippool"
)

// addressPools holds the leases of this gateway's address pools. The gateway is their only writer: what a hub has is a
// copy, read back when the gateway starts, and the owner records in vCenter say the rest.
type addressPools struct {
	now func() time.Time
	// publish tells the hub how a pool stands. It is called with mu held: reports are whole states, and must arrive in the
	// order in which they came about.
	publish func(gatewayapi.PoolReport) (seq int64)

	mu    sync.Mutex
	owned bool
	pools map[string]*addressPool
}

type addressPool struct {
	doc    hubapi.IPPool
	pool   ippool.Pool
	leases map[netip.Addr]hubapi.IPLease
}

func newAddressPools(now func() time.Time, publish func(gatewayapi.PoolReport) int64) *addressPools {
	return &addressPools{now: now, publish: publish, pools: map[string]*addressPool{}}
}

// own says whether this process is the writer of the pools from now on. Who becomes it knows nothing of them yet; who is not
// believes the hub's copy.
func (p *addressPools) own(owned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if owned && !p.owned {
		p.pools = map[string]*addressPool{}
	}
	p.owned = owned
}

// learn takes over the pools that came with an assignment: their specs as they are now, their leases where none are
// known yet.
func (p *addressPools) learn(docs []hubapi.IPPool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, doc := range docs {
		known, ok := p.pools[doc.ID]
		if ok && known.doc.Generation > doc.Generation {
			continue
		}
		// The pool was with another gateway in between, whose leases are in the hub's copy alone.
		ok = ok && known.doc.Status.Since == doc.Status.Since
		parsed, fieldErrors := ippool.ParseSpec(doc.Spec.Arithmetic())
		if len(fieldErrors) > 0 {
			return fmt.Errorf("address pool %s: %s", doc.Name, fieldErrors[0].Message)
		}
		if !ok || !p.owned {
			known = &addressPool{leases: map[netip.Addr]hubapi.IPLease{}}
			p.pools[doc.ID] = known
			if err := known.restore(doc.Status.Leases); err != nil {
				return fmt.Errorf("address pool %s: %w", doc.Name, err)
			}
		}
		known.doc, known.pool = doc, parsed
	}
	return nil
}

func (a *addressPool) restore(leases []hubapi.IPLease) error {
	for _, lease := range leases {
		addr, err := netip.ParseAddr(lease.Address)
		if err != nil {
			return fmt.Errorf("reading lease of %s: %w", lease.Machine, err)
		}
		a.leases[addr] = lease
	}
	return nil
}

// adopt enters the addresses that machines found in vCenter say they hold.
func (p *addressPools) adopt(machines []cluster.Machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := map[string]bool{}
	for _, m := range machines {
		pool, ok := p.pools[m.Placement.IPPoolID]
		if !ok || m.Copy() {
			continue
		}
		for _, text := range m.Owner.Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				continue // Written by somebody else: whatever it is, it is no address of the pool.
			}
			// What was released since the machines were read is not taken back.
			if held, ok := pool.leases[addr]; ok && held.InstanceUUID == m.UUID {
				continue
			}
			pool.leases[addr] = hubapi.IPLease{
				Address: text, InstanceUUID: m.UUID, ClusterID: m.Owner.Cluster, Machine: m.Name,
			}
			changed[pool.doc.ID] = true
		}
	}
	p.reportLocked(changed)
}

// lease gives a machine its address: the one it has, else the lowest free one. It returns the number of the report to
// wait for before the address is used, 0 when nothing has changed.
func (p *addressPools) lease(poolID, clusterID, instanceUUID, machine string) (netip.Addr, int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool, ok := p.pools[poolID]
	if !ok {
		return netip.Addr{}, 0, fmt.Errorf("address pool %s is not known to the gateway", poolID)
	}
	for addr, lease := range pool.leases {
		if lease.InstanceUUID == instanceUUID && pool.pool.Contains(addr) {
			if lease.ReleasedAt == nil {
				return addr, 0, nil
			}
			lease.ReleasedAt = nil // its own old address: nobody else has had it since
			pool.leases[addr] = lease
			return addr, p.reportLocked(map[string]bool{poolID: true}), nil
		}
	}
	pool.expire(p.now())
	addr, ok := pool.pool.Next(func(a netip.Addr) bool { _, taken := pool.leases[a]; return taken })
	if !ok {
		return netip.Addr{}, 0, pool.exhausted()
	}
	pool.leases[addr] = hubapi.IPLease{
		Address: addr.String(), InstanceUUID: instanceUUID, ClusterID: clusterID, Machine: machine,
	}
	return addr, p.reportLocked(map[string]bool{poolID: true}), nil
}

// release lets the addresses of a cluster's machines cool down, except of those to keep. It is called only when the
// machines are known to be gone.
func (p *addressPools) release(clusterID string, keep func(instanceUUID string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().UTC()
	changed := map[string]bool{}
	for id, pool := range p.pools {
		for addr, lease := range pool.leases {
			if lease.ClusterID != clusterID || lease.ReleasedAt != nil || keep(lease.InstanceUUID) {
				continue
			}
			lease.ReleasedAt = &now
			pool.leases[addr] = lease
			changed[id] = true
		}
	}
	p.reportLocked(changed)
}

// facts says how much room the pools have, for a plan.
func (p *addressPools) facts() map[string]cluster.AddressPoolFacts {
	p.mu.Lock()
	defer p.mu.Unlock()
	facts := map[string]cluster.AddressPoolFacts{}
	for id, pool := range p.pools {
		status := pool.status(p.now())
		held := map[string]string{}
		for _, lease := range pool.leases {
			if lease.ReleasedAt == nil {
				held[lease.InstanceUUID] = lease.Address
			}
		}
		facts[id] = cluster.AddressPoolFacts{Name: pool.doc.Name, Free: status.Free, HeldBy: held}
	}
	return facts
}

// network returns how a machine of the pool configures its card.
func (p *addressPools) network(poolID string) (hubapi.IPPoolSpec, ippool.Pool, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool, ok := p.pools[poolID]
	if !ok {
		return hubapi.IPPoolSpec{}, ippool.Pool{}, false
	}
	return pool.doc.Spec, pool.pool, true
}

// reportLocked publishes the pools that have changed and returns the number of the last report, 0 if there is none.
func (p *addressPools) reportLocked(changed map[string]bool) (last int64) {
	for _, id := range sortedKeys(changed) {
		pool := p.pools[id]
		pool.expire(p.now())
		last = p.publish(gatewayapi.PoolReport{ID: id, Status: pool.status(p.now())})
	}
	return last
}

// expire forgets leases whose rest is over.
func (a *addressPool) expire(now time.Time) {
	rest := time.Duration(a.doc.Spec.CooldownSeconds) * time.Second
	for addr, lease := range a.leases {
		if lease.ReleasedAt != nil && !now.Before(lease.ReleasedAt.Add(rest)) {
			delete(a.leases, addr)
		}
	}
}

// restingError tells that no address is free now, and when one will be.
type restingError struct {
	pool  string
	until time.Time
}

// Error implements error.
func (e *restingError) Error() string {
	return fmt.Sprintf("address pool %s has no free address until %s, when one has cooled down",
		e.pool, e.until.UTC().Format(time.RFC3339))
}

// exhaustedError tells that all addresses are leased. Where a machine is just being destroyed, its address is free soon.
type exhaustedError struct {
	pool  string
	total int
}

// Error implements error.
func (e *exhaustedError) Error() string {
	return fmt.Sprintf("address pool %s has no free address: all %d are leased", e.pool, e.total)
}

func (a *addressPool) exhausted() error {
	rest := time.Duration(a.doc.Spec.CooldownSeconds) * time.Second
	var next time.Time
	for _, lease := range a.leases {
		if lease.ReleasedAt != nil && (next.IsZero() || lease.ReleasedAt.Add(rest).Before(next)) {
			next = lease.ReleasedAt.Add(rest)
		}
	}
	if !next.IsZero() {
		return &restingError{pool: a.doc.Name, until: next}
	}
	return &exhaustedError{pool: a.doc.Name, total: a.pool.Total()}
}

func (a *addressPool) status(now time.Time) hubapi.IPPoolStatus {
	leases := make([]hubapi.IPLease, 0, len(a.leases))
	for _, addr := range slices.SortedFunc(keysOf(a.leases), netip.Addr.Compare) {
		leases = append(leases, a.leases[addr])
	}
	return hubapi.CountLeases(a.doc.Spec, a.pool, leases, now)
}
