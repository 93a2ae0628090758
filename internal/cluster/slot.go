package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// vSphere's words for a machine that is on and can be worked on.
const (
	poweredOn = "poweredOn"
	connected = "connected"
)

// member is a machine as the planner sees it.
type member struct {
	Machine
	// unfit says why only another machine can meet the spec; none means that this one can.
	unfit []string
	// placement is where in the pool's list the machine's placement is, or -1.
	placement int
	// running is the action that is in flight on the machine, or "".
	running Action
}

// reachable tells whether vCenter can work on the machine at all.
func (m *member) reachable() bool { return m.ConnectionState == "" || m.ConnectionState == connected }

func (m *member) on() bool { return m.PowerState == poweredOn }

// available tells whether the machine serves as a node.
func (m *member) available() bool {
	return m.Joined && m.on() && m.reachable() && !m.running.takesDown()
}

// takesDown tells whether the action stops the machine, for a moment or for ever. A migration does not.
func (a Action) takesDown() bool { return a == ActDestroy || a == ActReconfigure }

// slot is one place in a pool, held by an ordinal. While a machine is replaced it has two.
type slot struct {
	ordinal int
	// members are in ascending order of generation.
	members []*member
	// placement is where the slot's machine is, or is to be, in the pool's list.
	placement int
	// generation is that of the next machine.
	generation int

	// keeper is the machine that meets the spec and has joined.
	keeper *member
	// next is the machine on its way to be the keeper.
	next *member
	// old serves until the next has joined.
	old *member
	// extras have no part to play any more.
	extras []*member
}

// pick gives the slot's machines their roles. Later generations go before earlier ones.
func (s *slot) pick() {
	for _, m := range slices.Backward(s.members) {
		switch {
		case s.keeper == nil && m.Joined && len(m.unfit) == 0:
			s.keeper = m
		case s.next == nil && !m.Joined && (len(m.unfit) == 0 || m.Progress.HasJoined()):
			s.next = m
		case s.old == nil && m.Joined:
			s.old = m
		default:
			s.extras = append(s.extras, m)
		}
	}
	if s.keeper == nil {
		return
	}
	for _, m := range []*member{s.next, s.old} {
		// A machine that says it has joined is marked so before anything else is done to it.
		if m != nil && (m.Joined || !m.Progress.HasJoined()) {
			s.extras = append(s.extras, m)
		}
	}
	s.old = nil
	if s.next != nil && !s.next.Progress.HasJoined() {
		s.next = nil
	}
	slices.SortFunc(s.extras, func(a, b *member) int { return a.Generation - b.Generation })
}

func (s *slot) available() bool { return slices.ContainsFunc(s.members, (*member).available) }

// current is the machine the slot's placement is taken from.
func (s *slot) current() *member {
	for _, m := range []*member{s.next, s.keeper, s.old} {
		if m != nil {
			return m
		}
	}
	return s.members[len(s.members)-1]
}

// poolState is a pool with what was observed of it.
type poolState struct {
	NamedPool
	removed bool
	// slots are those kept and those to be filled, in ascending order; victims are those to go.
	slots, victims []*slot
	// total counts the pool's machines.
	total int
}

// newPoolState sorts a pool's machines into slots and decides which slots stay, which go, and which are new.
func newPoolState(pool NamedPool, members []*member, generations map[int]int) *poolState {
	ps := &poolState{NamedPool: pool, total: len(members)}
	byOrdinal := map[int]*slot{}
	for _, m := range members {
		s := byOrdinal[m.Ordinal]
		if s == nil {
			s = &slot{ordinal: m.Ordinal, placement: -1, generation: generations[m.Ordinal] + 1}
			byOrdinal[m.Ordinal] = s
			ps.slots = append(ps.slots, s)
		}
		s.members = append(s.members, m)
	}
	for _, s := range ps.slots {
		slices.SortFunc(s.members, func(a, b *member) int { return a.Generation - b.Generation })
		s.pick()
		s.placement = s.current().placement
	}
	for len(ps.slots) > pool.Count {
		i := ps.victim()
		ps.victims = append(ps.victims, ps.slots[i])
		ps.slots = slices.Delete(ps.slots, i, i+1)
	}
	for ordinal := 0; len(ps.slots) < pool.Count; ordinal++ {
		if byOrdinal[ordinal] == nil {
			ps.slots = append(ps.slots, &slot{ordinal: ordinal, placement: -1, generation: generations[ordinal] + 1})
		}
	}
	byOrdinalUp := func(a, b *slot) int { return a.ordinal - b.ordinal }
	slices.SortFunc(ps.slots, byOrdinalUp)
	slices.SortFunc(ps.victims, byOrdinalUp)
	ps.place()
	return ps
}

// victim chooses the slot that a smaller pool does without: first one that has not joined, failed ones before all, then
// one that is powered off, then one in a placement that is no longer listed, then one of the placement with the most
// machines, then the one of the highest ordinal.
func (ps *poolState) victim() int {
	counts := ps.placementCounts()
	key := func(s *slot) [6]int {
		m := s.current()
		leaving, joined, failed, on, listed := 1, 0, 1, 0, 0
		if m.running == ActDestroy {
			leaving = 0 // What is going already goes before anything else goes.
		}
		if slices.ContainsFunc(s.members, func(m *member) bool { return m.Joined || m.Progress.HasJoined() }) {
			joined = 1
		}
		if m.Progress.HasFailed() && joined == 0 {
			failed = 0
		}
		if slices.ContainsFunc(s.members, (*member).on) {
			on = 1
		}
		crowd := 0
		if s.placement >= 0 {
			listed, crowd = 1, -counts[s.placement]
		}
		return [6]int{leaving, joined, failed, on, listed, crowd}
	}
	best := 0
	for i, s := range ps.slots {
		a, b := key(s), key(ps.slots[best])
		if order := slices.Compare(a[:], b[:]); order < 0 || order == 0 && s.ordinal > ps.slots[best].ordinal {
			best = i
		}
	}
	return best
}

func (ps *poolState) placementCounts() []int {
	counts := make([]int, len(ps.Placements))
	for _, s := range ps.slots {
		if s.placement >= 0 {
			counts[s.placement]++
		}
	}
	return counts
}

// place gives each slot that has no place the one with the fewest machines.
func (ps *poolState) place() {
	counts := ps.placementCounts()
	if len(counts) == 0 {
		return
	}
	for _, s := range ps.slots {
		if s.placement >= 0 {
			continue
		}
		s.placement = slices.Index(counts, slices.Min(counts))
		counts[s.placement]++
	}
}

func (ps *poolState) missing() int {
	n := 0
	for _, s := range ps.slots {
		if len(s.members) == 0 {
			n++
		}
	}
	return n
}

func (ps *poolState) availableSlots() int {
	n := 0
	for _, s := range ps.slots {
		if s.available() {
			n++
		}
	}
	return n
}

// members are all machines of the pool, those to go included.
func (ps *poolState) members() []*member {
	var all []*member
	for _, s := range slices.Concat(ps.slots, ps.victims) {
		all = append(all, s.members...)
	}
	return all
}

// unfit says why the machine can only be replaced.
func (p *planner) unfit(pool NamedPool, m Machine, placement int) []string {
	var why []string
	if m.Template != "" && !p.sameTemplate(m.Template) {
		why = append(why, "template changes")
	}
	if m.KubernetesVersion != "" && canonical(m.KubernetesVersion) != canonical(p.spec.KubernetesVersion) {
		why = append(why, fmt.Sprintf("Kubernetes %s -> %s",
			canonical(m.KubernetesVersion), canonical(p.spec.KubernetesVersion)))
	}
	if placement < 0 {
		why = append(why, "its placement is no longer listed")
	}
	if m.Bootstrap != "" && m.Bootstrap != p.digest {
		why = append(why, "SSH keys or NTP servers change")
	}
	switch {
	case m.Owner.DiskGiB > pool.DiskGiB:
		why = append(why, fmt.Sprintf("disk shrinks from %d to %d GiB", m.Owner.DiskGiB, pool.DiskGiB))
	case m.Linked && m.DiskGiB > 0 && m.DiskGiB < pool.DiskGiB:
		why = append(why, fmt.Sprintf("disk grows from %d to %d GiB, which a linked clone's cannot",
			m.DiskGiB, pool.DiskGiB))
	}
	return why
}

// sameTemplate tells whether a machine's template is the one the spec names. Without facts, or with a template that is
// missing, names are compared: a machine is never replaced on a guess.
func (p *planner) sameTemplate(path string) bool {
	if facts := p.obs.Facts; facts != nil && facts.Template != nil {
		return path == facts.Template.Path
	}
	return sameName(p.spec.Template, path)
}

func reasons(m *member) string { return strings.Join(m.unfit, ", ") }
