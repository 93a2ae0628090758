package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// linkedGiB is what a linked clone is counted for on its datastore: it starts almost empty.
const linkedGiB = 1

// Check judges what the spec asks of vCenter and of the address pools for the machines that are going to be made. Where
// nothing is to be made, nothing is checked, so that a template or a pool may go when its machines have been made.
// Without Facts there is nothing to judge by.
func Check(spec Spec, obs Observed) []Problem {
	p := newPlanner(spec, obs)
	p.plan()
	if obs.Facts == nil {
		return nil
	}
	c := &checker{planner: p, facts: obs.Facts}
	if !obs.Facts.DatacenterExists {
		c.fail("/datacenter", "datacenter %q does not exist%s", spec.Datacenter, near(obs.Facts.NearDatacenters))
		return c.problems
	}
	c.places()
	if len(p.fresh) > 0 {
		c.template()
		c.names()
		c.endpoint()
		c.addresses()
		c.space()
	}
	return c.problems
}

// checker collects what stands in the way of a plan.
type checker struct {
	problems
	planner *planner
	facts   *Facts
}

// near lists what may have been meant.
func near(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; there is " + strings.Join(names, ", ")
}

func (c *checker) template() {
	spec, template := c.planner.spec, c.facts.Template
	switch {
	case len(c.facts.AmbiguousTemplates) > 0:
		c.fail("/template", "%q fits several templates, give the full path of one: %s",
			spec.Template, strings.Join(c.facts.AmbiguousTemplates, ", "))
		return
	case template == nil:
		c.fail("/template", "template %q does not exist in datacenter %s%s", spec.Template, spec.Datacenter,
			near(c.facts.NearTemplates))
		return
	case template.KubernetesVersion == "":
		c.warn("/template", "template %s does not say which Kubernetes version it carries; %s is assumed",
			template.Path, canonical(spec.KubernetesVersion))
	case canonical(template.KubernetesVersion) != canonical(spec.KubernetesVersion):
		c.fail("/template", "template has %s, cluster wants %s",
			canonical(template.KubernetesVersion), canonical(spec.KubernetesVersion))
	}
	seen := map[string]bool{}
	for _, fresh := range c.planner.fresh {
		field := fresh.pool.field() + "/disk_gib"
		if fresh.pool.DiskGiB < template.DiskGiB && !seen[field] {
			seen[field] = true
			c.fail(field, "a disk of %d GiB is smaller than the template's %d GiB", fresh.pool.DiskGiB, template.DiskGiB)
		}
		c.linked(fresh, seen)
	}
}

func (c *checker) linked(fresh freshMachine, seen map[string]bool) {
	if c.planner.spec.CloneMode != CloneLinked {
		return
	}
	if why := c.planner.linkObstacles(fresh.pool, fresh.placement); len(why) > 0 && !seen[strings.Join(why, ", ")] {
		seen[strings.Join(why, ", ")] = true
		c.fail("/clone_mode", "machines of %s cannot be linked clones: %s", poolNoun(fresh.pool), strings.Join(why, ", "))
	}
}

func poolNoun(pool NamedPool) string {
	if pool.ControlPlane {
		return "the control plane"
	}
	return "pool " + pool.Name
}

// places checks every placement that a machine is made in, or moved back to.
func (c *checker) places() {
	seen := map[string]bool{}
	check := func(pool NamedPool, placement int) {
		field := fmt.Sprintf("%s/placements/%d", pool.field(), placement)
		if facts := c.planner.placementFacts(pool, placement); facts != nil && !seen[field] {
			seen[field] = true
			c.placement(field, pool.Placements[placement], facts)
		}
	}
	for _, fresh := range c.planner.fresh {
		check(fresh.pool, fresh.placement)
	}
	// A pool that grows may use any of its placements with the next machine: their names have to be right, too.
	for _, fresh := range c.planner.fresh {
		for placement := range fresh.pool.Placements {
			field := fmt.Sprintf("%s/placements/%d", fresh.pool.field(), placement)
			if facts := c.planner.placementFacts(fresh.pool, placement); facts != nil && !seen[field] {
				seen[field] = true
				c.lookups(field, fresh.pool.Placements[placement], facts)
			}
		}
	}
	moved := map[string]bool{}
	for _, op := range c.planner.ops {
		if op.Kind == KindRelocate {
			moved[op.Machine] = true
		}
	}
	for _, ps := range append([]*poolState{c.planner.control}, c.planner.pools...) {
		for _, m := range ps.members() {
			if moved[m.Name] {
				check(ps.NamedPool, m.placement)
			}
		}
	}
}

// lookups checks that the names of a placement mean something. It tells whether its datastore does.
func (c *checker) lookups(field string, placement Placement, facts *PlacementFacts) (datastore bool) {
	if !c.lookup(field+"/compute_cluster", "compute cluster", placement.ComputeCluster, facts.ComputeCluster) {
		return false // The others are looked for inside it.
	}
	if placement.ResourcePool != "" {
		c.lookup(field+"/resource_pool", "resource pool", placement.ResourcePool, facts.ResourcePool)
	}
	datastore = c.lookup(field+"/datastore", "datastore", placement.Datastore, facts.Datastore)
	for i, network := range placement.Networks {
		if i < len(facts.Networks) {
			c.lookup(fmt.Sprintf("%s/networks/%d", field, i), "network", network, facts.Networks[i])
		}
	}
	return datastore
}

func (c *checker) placement(field string, placement Placement, facts *PlacementFacts) {
	datastore := c.lookups(field, placement, facts)
	if !facts.ComputeCluster.Found() {
		return
	}
	if facts.HostsUsable == 0 {
		c.fail(field+"/compute_cluster", "compute cluster %s has no host that is connected and not in maintenance mode",
			facts.ComputeCluster.Path)
	}
	if datastore && !facts.DatastoreReachable {
		state := facts.DatastoreState
		if state == "" {
			state = "not mounted by all usable hosts of " + facts.ComputeCluster.Path
		}
		c.fail(field+"/datastore", "datastore %s cannot be used: %s", facts.Datastore.Path, state)
	}
}

func (c *checker) lookup(field, what, name string, found Lookup) bool {
	switch {
	case found.Ambiguous:
		c.fail(field, "%q fits several %ss, give the full path of one: %s", name, what, strings.Join(found.Near, ", "))
	case !found.Found():
		c.fail(field, "%s %q does not exist%s", what, name, near(found.Near))
	default:
		return true
	}
	return false
}

func (c *checker) names() {
	for _, fresh := range c.planner.fresh {
		if path, taken := c.planner.obs.Folder.TakenNames[fresh.name]; taken {
			c.fail("/name", "the VM name %s is taken by %s, which is not a machine of this cluster", fresh.name, path)
		}
		if path, taken := c.planner.obs.Folder.Subfolders[fresh.name]; taken {
			c.fail("/name", "the VM name %s is taken by the folder %s", fresh.name, path)
		}
	}
}

// endpoint is checked before the cluster answers there itself.
func (c *checker) endpoint() {
	const field = "/control_plane_endpoint/host"
	host := c.planner.spec.Endpoint.Host
	if c.planner.control.total > 0 {
		return
	}
	if holder, used := c.facts.UsedAddresses[host]; used {
		c.fail(field, "the address %s is in use by %s", host, holder)
	}
	for _, id := range sortedKeys(c.facts.AddressPools) {
		pool := c.facts.AddressPools[id]
		for _, uuid := range sortedKeys(pool.HeldBy) {
			if pool.HeldBy[uuid] == host {
				c.fail(field, "the address %s is leased to a machine from address pool %s", host, pool.Name)
			}
		}
	}
}

// SurgeNeed counts the addresses that are still to be leased, by address pool: one for each machine to be made that has
// none yet, where of machines that are replaced only as many count as are there in excess at the same time.
func SurgeNeed(spec Spec, obs Observed) map[string]int {
	p := newPlanner(spec, obs)
	p.plan()
	return p.surgeNeed()
}

func (p *planner) surgeNeed() map[string]int {
	need := map[string]int{}
	surged := map[string]int{}
	for _, fresh := range p.fresh {
		id := fresh.place().IPPoolID
		if id == "" || p.holdsAddress(id, fresh.identity) {
			continue
		}
		if fresh.replaces {
			// Those that come later take the addresses of those that have gone.
			if surged[fresh.pool.Name+" "+id] >= fresh.pool.surge() {
				continue
			}
			surged[fresh.pool.Name+" "+id]++
		}
		need[id]++
	}
	return need
}

func (p *planner) holdsAddress(pool string, id Identity) bool {
	if p.obs.Facts == nil {
		return false
	}
	_, held := p.obs.Facts.AddressPools[pool].HeldBy[id.InstanceUUID()]
	return held
}

func (f freshMachine) place() Placement {
	if f.placement < 0 {
		return Placement{}
	}
	return f.pool.Placements[f.placement]
}

// surge is how many machines the pool may have in excess.
func (p NamedPool) surge() int {
	if p.ControlPlane {
		return min(1, p.UpdateStrategy.MaxSurge)
	}
	return p.UpdateStrategy.MaxSurge
}

func (c *checker) addresses() {
	need := c.planner.surgeNeed()
	seen := map[string]bool{}
	for _, fresh := range c.planner.fresh {
		id := fresh.place().IPPoolID
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		field := fmt.Sprintf("%s/placements/%d/ip_pool_id", fresh.pool.field(), fresh.placement)
		pool, exists := c.facts.AddressPools[id]
		switch {
		case !exists:
			c.fail(field, "address pool %s does not exist", id)
		case need[id] > pool.Free:
			c.fail(field, "address pool %s has %d free addresses, %d are needed with surge", pool.Name, pool.Free, need[id])
		}
	}
}

// datastoreNeed is what machines to be made need of one datastore.
type datastoreNeed struct {
	field         string
	free          int
	gib, machines int
	surged        map[string]int
}

func (c *checker) space() {
	needs := map[string]*datastoreNeed{}
	var order []string
	for _, fresh := range c.planner.fresh {
		facts := c.planner.placementFacts(fresh.pool, fresh.placement)
		if facts == nil || !facts.Datastore.Found() {
			continue
		}
		path := facts.Datastore.Path
		need := needs[path]
		if need == nil {
			need = &datastoreNeed{
				field:  fmt.Sprintf("%s/placements/%d/datastore", fresh.pool.field(), fresh.placement),
				free:   facts.FreeGiB,
				surged: map[string]int{},
			}
			needs[path] = need
			order = append(order, path)
		}
		if fresh.replaces {
			// What goes makes room for what comes after it.
			if need.surged[fresh.pool.Name] >= fresh.pool.surge() {
				continue
			}
			need.surged[fresh.pool.Name]++
		}
		need.machines++
		need.gib += fresh.pool.DiskGiB
		if linked, _ := c.planner.cloneMode(fresh.pool, fresh.placement); linked {
			need.gib += linkedGiB - fresh.pool.DiskGiB
		}
	}
	slices.Sort(order)
	for _, path := range order {
		if need := needs[path]; need.gib > need.free {
			c.fail(need.field, "datastore %s has %d GiB free, %d machines need %d GiB", path, need.free, need.machines, need.gib)
		}
	}
}
