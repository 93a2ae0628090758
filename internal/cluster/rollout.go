package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scaleIn destroys the machines of slots that are no longer wanted.
func (p *planner) scaleIn(ps *poolState, b *budget) {
	why := fmt.Sprintf("pool %s shrinks to %d", ps.Name, ps.Count)
	switch {
	case ps.removed:
		why = fmt.Sprintf("pool %s is removed", ps.Name)
	case ps.ControlPlane:
		why = fmt.Sprintf("the control plane shrinks to %d", ps.Count)
	}
	for _, s := range ps.victims {
		for _, m := range s.members {
			if !m.Joined && m.Progress.HasJoined() && ps.ControlPlane {
				p.add(KindAwait, ps, m, "", "it has joined, its boot secrets are to be cleared", m.step(ActFinish))
				continue
			}
			step := p.destroyStep(ps, m)
			if ps.ControlPlane && m.Joined && step != nil && (m.running != "" || !b.takeRemoval(m, false)) {
				step = nil
			}
			p.add(KindDestroy, ps, m, "", why, step)
		}
	}
}

// retire destroys machines whose slot has its keeper, and those that can no longer become one.
func (p *planner) retire(ps *poolState, b *budget) {
	for _, s := range ps.slots {
		for _, m := range s.extras {
			step := p.destroyStep(ps, m)
			if m.Joined && step != nil {
				spared := s.keeper != nil && s.keeper.available()
				if m.running != "" || !spared || !b.takeRemoval(m, spared) {
					step = nil
				}
			}
			switch {
			case len(m.unfit) > 0 && s.keeper == nil && s.next == nil && s.old == nil:
				// Nobody waits for it and nobody needs it: it makes room for another.
				if len(s.members) == 1 {
					p.clone(ps, s, true)
				}
				p.add(KindReplace, ps, m, "", reasons(m), step)
			case len(m.unfit) > 0 && m.Joined:
				p.add(KindReplace, ps, m, "", reasons(m), step)
			default:
				p.add(KindDestroy, ps, m, "", "another machine has its place", step)
			}
		}
	}
}

// replace moves machines that do not meet the spec, and still serve, towards their replacement.
func (p *planner) replace(ps *poolState, b *budget) {
	var olds []*slot
	for _, s := range ps.slots {
		if s.old != nil {
			olds = append(olds, s)
		}
	}
	detail := ""
	if len(olds) > 1 {
		detail = ps.pace()
	}
	for _, s := range olds {
		p.add(KindReplace, ps, s.old, detail, reasons(s.old), p.replaceStep(ps, s, b))
	}
}

// replaceStep is the next thing to do in a replacement: make the new machine where there is room for one more, or remove
// the old one where the pool can do without.
func (p *planner) replaceStep(ps *poolState, s *slot, b *budget) *Step {
	m := s.old
	destroy := p.destroyStep(ps, m)
	if s.next != nil {
		return nil
	}
	clone := p.clone(ps, s, true)
	upgrades := m.KubernetesVersion != "" && canonical(m.KubernetesVersion) != canonical(p.spec.KubernetesVersion)
	if destroy == nil || !p.canClone() || !m.reachable() || m.running != "" || upgrades && !b.upgrading {
		return nil
	}
	if b.takeClone(true) {
		return clone
	}
	// A worker that is off serves nobody, and may go first whatever the strategy.
	first := b.removeFirst || !ps.ControlPlane && !m.available()
	if b.replacing && first && b.takeRemoval(m, false) {
		return destroy
	}
	return nil
}

// keepVotes turns on members of the control plane that are to go and cannot yet: until they have gone, etcd counts them.
func (p *planner) keepVotes() {
	for _, m := range p.control.members() {
		if !m.Joined || m.on() || !m.reachable() || slices.ContainsFunc(p.ops, func(op Operation) bool {
			return op.Machine == m.Name && (op.Step != nil || op.Kind == KindPowerOn)
		}) {
			continue
		}
		p.add(KindPowerOn, p.control, m, "", "it is powered off, and has a vote until it goes", m.step(ActPowerOn))
	}
}

// pace says how many machines are replaced at a time.
func (ps *poolState) pace() string {
	n := ps.UpdateStrategy.MaxSurge + ps.UpdateStrategy.MaxUnavailable
	if ps.ControlPlane || n <= 1 {
		return "one at a time"
	}
	return fmt.Sprintf("%d at a time", n)
}

// repair brings machines that can stay to what they should be.
func (p *planner) repair(ps *poolState, b *budget) {
	for _, s := range ps.slots {
		m := s.keeper
		if m == nil {
			continue
		}
		if !m.reachable() {
			p.unreachable(ps, m)
			continue
		}
		p.relocate(ps, m, b)
		p.reconfigure(ps, m, b)
		if !m.on() && m.running != ActReconfigure {
			p.add(KindPowerOn, ps, m, "", "it is powered off", m.step(ActPowerOn))
		}
		if !m.Node.equal(ps.node()) {
			step := m.step(ActLabel)
			step.Node = ps.node()
			p.add(KindLabel, ps, m, "", m.Node.difference(ps.node()), step)
		}
	}
}

func (p *planner) relocate(ps *poolState, m *member, b *budget) {
	var detail string
	switch {
	case m.moved(p.placementFacts(ps.NamedPool, m.placement)):
		detail = "back to " + place(m.Placement)
	case !m.InFolder:
		detail = "back to " + p.spec.folderPath()
	default:
		return
	}
	step := m.step(ActRelocate)
	step.Placement = m.Placement
	// A live migration stops nothing, but the members of the control plane are not all set in motion at once.
	if m.running != "" || ps.ControlPlane && !b.takeCycle(m) {
		step = nil
	}
	p.add(KindRelocate, ps, m, detail, "it was moved outside Terraform", step)
}

// place names a placement for people.
func place(p Placement) string {
	parts := []string{p.ComputeCluster}
	if p.ResourcePool != "" {
		parts = append(parts, p.ResourcePool)
	}
	return strings.Join(append(parts, p.Datastore), ", ")
}

func (p *planner) reconfigure(ps *poolState, m *member, b *budget) {
	if m.DiskGiB > ps.DiskGiB {
		p.problems.warn(ps.field()+"/disk_gib", "the disk of %s has %d GiB, more than the %d GiB asked for. "+
			"A disk cannot shrink: it is left as it is.", m.Name, m.DiskGiB, ps.DiskGiB)
	}
	var changes []string
	for _, size := range []struct {
		unit     string
		is, want int
	}{
		{"CPU", m.CPU, ps.CPU},
		{"MiB memory", m.MemoryMiB, ps.MemoryMiB},
		{"GiB disk", m.DiskGiB, max(m.DiskGiB, ps.DiskGiB)},
	} {
		if size.is != size.want {
			changes = append(changes, fmt.Sprintf("%d -> %d %s", size.is, size.want, size.unit))
		}
	}
	if len(changes) == 0 {
		return
	}
	step := m.step(ActReconfigure)
	step.CPU, step.MemoryMiB, step.DiskGiB = ps.CPU, ps.MemoryMiB, max(m.DiskGiB, ps.DiskGiB)
	detail := strings.Join(changes, ", ")
	if m.on() {
		detail += ", after a power cycle"
	}
	if m.running != "" || !b.takeCycle(m) {
		step = nil
	}
	p.add(KindReconfigure, ps, m, detail, "its size differs from the specification", step)
}

// equal tells whether two nodes carry the same metadata; order and emptiness have no meaning.
func (n NodeMetadata) equal(other NodeMetadata) bool { return n.difference(other) == "" }

// difference names what differs between what a node carries and what it should.
func (n NodeMetadata) difference(want NodeMetadata) string {
	var names []string
	if !maps.Equal(n.Labels, want.Labels) {
		names = append(names, "labels")
	}
	if !sameTaints(n.Taints, want.Taints) {
		names = append(names, "taints")
	}
	if !maps.Equal(n.Annotations, want.Annotations) {
		names = append(names, "annotations")
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, " and ") + " change"
}

func sameTaints(a, b []Taint) bool {
	sorted := func(taints []Taint) []Taint {
		return slices.SortedFunc(slices.Values(taints), func(x, y Taint) int {
			return strings.Compare(x.Key+"\x00"+x.Effect+"\x00"+x.Value, y.Key+"\x00"+y.Effect+"\x00"+y.Value)
		})
	}
	return slices.Equal(sorted(a), sorted(b))
}
