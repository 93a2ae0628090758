package cluster

import "slices"

// budget is what a pool can spend on steps of one plan.
type budget struct {
	// clones is how many machines may be made now; reserved of them are for empty slots.
	clones, reserved int
	// alone limits the disruptive steps of the control plane to one; it is never spent for workers.
	alone    bool
	disrupts int
	// available counts what must not fall below a floor: slots of workers, members of the control plane. machines counts
	// the workers' machines, of which a slot has two while one is replaced.
	available, machines int
	// removeFloor holds for removing a machine, cycleFloor for a power cycle.
	removeFloor, cycleFloor int
	// members counts the control plane's machines that have joined, for quorum; 0 for workers.
	members int
	// removeFirst tells that a machine may go before its replacement has come.
	removeFirst bool
	// replacing tells that machines may be replaced at all now; upgrading that the version may be among the reasons.
	replacing, upgrading bool
}

func quorum(members int) int { return members/2 + 1 }

// controlBudget lets one disruptive step of the control plane happen at a time, and none while a member is on its way or
// while etcd would lose its quorum.
func (p *planner) controlBudget() *budget {
	ps := p.control
	b := &budget{
		alone: true, disrupts: 1, removeFloor: quorum(ps.Count), upgrading: true,
		reserved: ps.missing(), removeFirst: ps.UpdateStrategy.MaxSurge == 0 && ps.Count > 1,
	}
	b.replacing = b.reserved == 0 && len(ps.victims) == 0
	for _, m := range ps.members() {
		if m.Joined {
			b.members++
		}
		if m.available() {
			b.available++
		}
		if !m.Joined {
			b.disrupts = 0
		}
	}
	for _, step := range p.obs.Running {
		if step.Identity.Pool == ControlPlanePool && (step.Action.takesDown() || step.Action == ActRelocate) {
			b.disrupts = 0
		}
	}
	switch {
	case b.members == 0 && ps.total == 0 && !p.lost:
		b.clones = 1 // This one initializes the cluster.
	case b.members > 0 && b.available >= quorum(b.members):
		b.clones = max(0, ps.Count+min(1, ps.UpdateStrategy.MaxSurge)-ps.total)
	}
	if b.cycleFloor = quorum(b.members); b.members == 1 {
		b.cycleFloor = 0
	}
	return b
}

// workerBudget follows the pool's update strategy. Workers are made when there is a control plane to join whose version
// theirs does not exceed.
func (p *planner) workerBudget(ps *poolState) *budget {
	strategy := ps.UpdateStrategy
	b := &budget{
		available:   ps.availableSlots(),
		removeFloor: ps.Count - strategy.MaxUnavailable,
		cycleFloor:  ps.Count - max(1, strategy.MaxUnavailable),
		reserved:    ps.missing(),
		removeFirst: strategy.MaxUnavailable > 0,
		upgrading:   p.controlPlaneDone(),
	}
	for _, m := range ps.members() {
		if m.available() {
			b.machines++
		}
	}
	if p.controlPlaneServes() {
		b.clones = max(0, ps.Count+strategy.MaxSurge-ps.total)
		b.replacing = true
	}
	return b
}

// controlPlaneServes tells whether a machine can join the cluster: a control plane machine is up and stays so, and none is
// of another version than the machine would be.
func (p *planner) controlPlaneServes() bool {
	return p.serving > 0 &&
		!slices.ContainsFunc(p.control.members(), func(m *member) bool {
			return m.KubernetesVersion != "" && canonical(m.KubernetesVersion) != canonical(p.spec.KubernetesVersion)
		})
}

// controlPlaneDone tells whether the control plane is all of the spec's making.
func (p *planner) controlPlaneDone() bool {
	return len(p.control.victims) == 0 &&
		!slices.ContainsFunc(p.control.slots, func(s *slot) bool { return s.keeper == nil || len(s.members) > 1 })
}

// takeClone spends on one machine more. Empty slots go before replacements.
func (b *budget) takeClone(replaces bool) bool {
	if replaces && (!b.replacing || b.clones <= b.reserved) || b.clones <= 0 || !b.mayDisrupt() {
		return false
	}
	b.clones--
	if !replaces {
		b.reserved--
	}
	b.disrupt()
	return true
}

// takeRemoval spends on removing a machine that has joined; spared tells that its slot stays available without it.
func (b *budget) takeRemoval(m *member, spared bool) bool {
	if !b.mayDisrupt() {
		return false
	}
	if b.alone {
		return b.takeMember(m)
	}
	if !m.available() {
		return true
	}
	if b.machines-1 < b.removeFloor || !spared && b.available-1 < b.removeFloor {
		return false
	}
	b.machines--
	if !spared {
		b.available--
	}
	return true
}

// takeMember spends on removing a member of the control plane: those that are left have to have a quorum, by their own
// number and by the one they are to be.
func (b *budget) takeMember(m *member) bool {
	left := b.available
	if m.available() {
		left--
	}
	if left < b.removeFloor || left < quorum(b.members-1) {
		return false
	}
	b.available = left
	b.members--
	b.disrupt()
	return true
}

// takeCycle spends on turning a machine off and on again.
func (b *budget) takeCycle(m *member) bool {
	cost := 0
	if m.available() {
		cost = 1
	}
	if !b.mayDisrupt() || cost > 0 && b.available-cost < b.cycleFloor {
		return false
	}
	b.available -= cost
	b.machines -= cost
	b.disrupt()
	return true
}

func (b *budget) mayDisrupt() bool { return !b.alone || b.disrupts > 0 }

func (b *budget) disrupt() {
	if b.alone {
		b.disrupts--
	}
}
