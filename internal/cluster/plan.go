package cluster

import (
	"cmp"
	"fmt"
	"path"
	"slices"
)

// MakePlan decides what leads from the observed to the spec. The operations are what is going to be done, in order; those
// that may start now carry a Step. After each step, or whenever the world has changed, a new plan is asked for: nothing
// is kept from one to the next. The same input gives the same plan.
//
// Steps are safe to carry out together. They keep the control plane's quorum and each pool's update strategy, and they
// let exactly one machine initialize the cluster.
func MakePlan(spec Spec, obs Observed) Plan {
	p := newPlanner(spec, obs)
	p.plan()
	return Plan{Operations: p.ops, Problems: p.problems, Failures: p.failures, NeedsFacts: p.needsFacts}
}

// Ready tells that nothing is left to do: every machine of the spec is there, on, and has joined, and there is no other.
func Ready(spec Spec, obs Observed) bool {
	p := newPlanner(spec, obs)
	p.plan()
	return len(p.ops) == 0 && !p.lost && !slices.ContainsFunc(p.allMembers(), func(m *member) bool { return !m.available() })
}

// planner makes one plan.
type planner struct {
	spec   Spec
	obs    Observed
	digest string
	copies []Machine
	// control is the control plane; pools are the worker pools by name, then those no longer in the spec.
	control *poolState
	pools   []*poolState
	// serving counts the control plane machines that stay available through the plan's steps.
	serving int
	// lost tells that a cluster that once was has no control plane machine left.
	lost bool

	ops        []Operation
	problems   problems
	failures   []Failure
	needsFacts bool
	// fresh are the machines to be made, for Check.
	fresh []freshMachine
}

// freshMachine is a machine to be made.
type freshMachine struct {
	pool      NamedPool
	identity  Identity
	name      string
	placement int
	// replaces tells that another machine goes in exchange.
	replaces bool
}

func newPlanner(spec Spec, obs Observed) *planner {
	p := &planner{spec: spec, obs: obs, digest: spec.BootstrapDigest()}
	machines, generations := p.machines()
	for _, pool := range spec.Pools() {
		ps := newPoolState(pool, p.members(pool, machines[pool.Name]), generations[pool.Name])
		delete(machines, pool.Name)
		if pool.ControlPlane {
			p.control = ps
		} else {
			p.pools = append(p.pools, ps)
		}
	}
	for _, name := range sortedKeys(machines) {
		pool := NamedPool{Name: name}
		ps := newPoolState(pool, p.members(pool, machines[name]), generations[name])
		ps.removed = true
		p.pools = append(p.pools, ps)
	}
	p.lost = p.controlPlaneLost()
	return p
}

// machines groups the machines by pool, those of clones in flight included, and tells the highest generation seen of
// each ordinal. Copies are left out, but count for generations: they may have the very name.
func (p *planner) machines() (map[string][]Machine, map[string]map[int]int) {
	byPool := map[string][]Machine{}
	generations := map[string]map[int]int{}
	seen := map[Identity]bool{}
	add := func(m Machine) {
		if generations[m.Pool] == nil {
			generations[m.Pool] = map[int]int{}
		}
		generations[m.Pool][m.Ordinal] = max(generations[m.Pool][m.Ordinal], m.Generation)
		if m.Copy() {
			p.copies = append(p.copies, m)
			return
		}
		if !seen[m.Identity] {
			seen[m.Identity] = true
			byPool[m.Pool] = append(byPool[m.Pool], m)
		}
	}
	for _, m := range p.obs.Machines {
		add(m)
	}
	for _, step := range p.obs.Running {
		if step.Action == ActClone && !seen[step.Identity] {
			add(p.cloneInFlight(step))
		}
	}
	for _, machines := range byPool {
		slices.SortFunc(machines, func(a, b Machine) int {
			return cmp.Or(cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.Generation, b.Generation))
		})
	}
	slices.SortFunc(p.copies, func(a, b Machine) int { return cmp.Compare(a.Path, b.Path) })
	return byPool, generations
}

// cloneInFlight is the machine that a running clone is going to be.
func (p *planner) cloneInFlight(step Step) Machine {
	return Machine{
		Owner:      Owner{Identity: step.Identity, Placement: step.Placement, Join: step.Join},
		Name:       step.Name,
		UUID:       step.Identity.InstanceUUID(),
		PowerState: poweredOn,
		InFolder:   true,
	}
}

func (p *planner) members(pool NamedPool, machines []Machine) []*member {
	running := map[Identity]Action{}
	for _, step := range p.obs.Running {
		if running[step.Identity] != ActDestroy {
			running[step.Identity] = step.Action
		}
	}
	members := make([]*member, len(machines))
	for i, m := range machines {
		placement := placementIndex(pool.Placements, m.Placement)
		members[i] = &member{
			Machine: m, placement: placement, unfit: p.unfit(pool, m, placement), running: running[m.Identity],
		}
	}
	return members
}

func (p *planner) allMembers() []*member {
	all := p.control.members()
	for _, ps := range p.pools {
		all = append(all, ps.members()...)
	}
	return all
}

// controlPlaneLost tells whether a cluster was initialized and has no control plane machine left that joined. Only the
// machine that initializes the cluster is made before one has joined, so that any other is proof.
func (p *planner) controlPlaneLost() bool {
	for _, m := range p.control.members() {
		if m.Joined || m.Progress.HasJoined() {
			return false
		}
	}
	if p.obs.EverReady {
		return true
	}
	return slices.ContainsFunc(p.allMembers(), func(m *member) bool {
		return m.Pool != ControlPlanePool || m.Join == JoinControlPlane
	})
}

func (p *planner) plan() {
	for _, m := range p.copies {
		p.problems.warn("", "%s carries the owner record of machine %s but is not it: a clone or a restored backup. "+
			"It is left alone.", cmp.Or(m.Path, m.Name), MachineName(p.spec.Name, m.Identity))
	}
	if p.lost {
		p.problems.fail("/control_plane", "none of the control plane's machines is left, and the cluster's data was on "+
			"them. A new control plane would be a new cluster: destroy this one and create it again.")
	}
	if !p.obs.Folder.Exists {
		folder := p.spec.folderPath()
		p.ops = append(p.ops, Operation{
			Kind: KindCreateFolder, Machine: folder, Step: &Step{Action: ActCreateFolder, Name: folder},
		})
	}
	control := p.controlBudget()
	p.pool(p.control, control)
	p.serving = control.available
	p.keepVotes()
	for _, ps := range p.pools {
		p.pool(ps, p.workerBudget(ps))
	}
	p.oneStepEach()
	if p.lost {
		// Nothing is made or changed, but a machine on its way may still say that it has joined.
		p.fresh = nil
		p.ops = slices.DeleteFunc(p.ops, func(op Operation) bool { return op.Kind != KindAwait || op.Step != nil })
	}
}

// oneStepEach leaves each machine one step, and none to those that have one in flight or that have no folder to be in.
func (p *planner) oneStepEach() {
	busy := map[string]bool{}
	for _, step := range p.obs.Running {
		busy[step.Name] = true
	}
	for i := range p.ops {
		step := p.ops[i].Step
		if step == nil {
			continue
		}
		if busy[step.Name] || !p.obs.Folder.Exists && step.Action != ActCreateFolder {
			p.ops[i].Step = nil
			continue
		}
		busy[step.Name] = true
	}
}

// pool plans one pool. The order of the passes is the order in which the budget is spent, and that of the operations.
func (p *planner) pool(ps *poolState, b *budget) {
	p.fill(ps, b)
	p.await(ps)
	p.scaleIn(ps, b)
	p.retire(ps, b)
	p.repair(ps, b)
	p.replace(ps, b)
}

func (p *planner) add(kind Kind, ps *poolState, m *member, detail, reason string, step *Step) {
	if step != nil && !m.reachable() {
		step = nil
	}
	p.ops = append(p.ops, Operation{
		Kind: kind, Pool: ps.Name, Machine: m.Name, Detail: detail, Reason: reason, Step: step,
	})
}

// on is a step on a machine that exists.
func (m *member) step(action Action) *Step {
	return &Step{Action: action, Identity: m.Identity, Name: m.Name, Moid: m.Moid}
}

// fill makes the machines of empty slots.
func (p *planner) fill(ps *poolState, b *budget) {
	for _, s := range ps.slots {
		if len(s.members) > 0 {
			continue
		}
		step := p.clone(ps, s, false)
		detail := p.cloneDetail(ps.NamedPool, s.placement)
		op := Operation{
			Kind: KindClone, Pool: ps.Name, Machine: step.Name, Detail: detail, Reason: "machine is missing",
		}
		if p.canClone() && b.takeClone(false) {
			op.Step = step
		}
		p.ops = append(p.ops, op)
	}
}

// canClone tells whether what a clone needs is known; a plan made without facts only shows clones.
func (p *planner) canClone() bool {
	p.needsFacts = p.needsFacts || p.obs.Facts == nil
	return p.obs.Facts != nil && p.obs.Facts.Template != nil
}

// clone is the step that makes the slot's next machine.
func (p *planner) clone(ps *poolState, s *slot, replaces bool) *Step {
	id := Identity{
		Gateway: p.obs.GatewayID, Cluster: p.obs.ClusterID, Pool: ps.Name, Ordinal: s.ordinal, Generation: s.generation,
	}
	step := &Step{
		Action: ActClone, Identity: id, Name: MachineName(p.spec.Name, id), Join: JoinWorker,
		CPU: ps.CPU, MemoryMiB: ps.MemoryMiB, DiskGiB: ps.DiskGiB, Node: ps.node(),
	}
	if s.placement >= 0 {
		step.Placement = ps.Placements[s.placement]
	}
	if ps.ControlPlane {
		step.Join = JoinInit
		if slices.ContainsFunc(ps.members(), func(m *member) bool { return m.Joined }) {
			step.Join = JoinControlPlane
		}
	}
	step.Linked, _ = p.cloneMode(ps.NamedPool, s.placement)
	p.fresh = append(p.fresh, freshMachine{
		pool: ps.NamedPool, identity: id, name: step.Name, placement: s.placement, replaces: replaces,
	})
	return step
}

// node is the metadata that the pool's nodes carry.
func (p Pool) node() NodeMetadata {
	return NodeMetadata{Labels: p.Labels, Taints: p.Taints, Annotations: p.Annotations}
}

// await shows machines on their way, and does for them what is to be done meanwhile.
func (p *planner) await(ps *poolState) {
	for _, s := range ps.slots {
		m := s.next
		switch {
		case m == nil:
		case !m.reachable():
			p.unreachable(ps, m)
		case m.Progress.HasJoined():
			p.add(KindAwait, ps, m, "", "it has joined, its boot secrets are to be cleared", m.step(ActFinish))
		case m.Progress.HasFailed():
			p.failed(ps, s, m)
		case !m.on():
			p.add(KindPowerOn, ps, m, "", "it is powered off", m.step(ActPowerOn))
		default:
			p.add(KindAwait, ps, m, "", "it has not joined yet", nil)
		}
	}
}

func (p *planner) unreachable(ps *poolState, m *member) {
	p.add(KindAwait, ps, m, "", fmt.Sprintf("vCenter cannot work on it, it is %s", m.ConnectionState), nil)
}

// failed replaces a machine whose guest has given up, or ends the apply that has made it.
func (p *planner) failed(ps *poolState, s *slot, m *member) {
	why := fmt.Sprintf("it failed in phase %s: %s", m.Progress.Phase, m.Progress.Text)
	if !p.obs.RetryFailed {
		p.failures = append(p.failures, Failure{Machine: m.Name, Phase: m.Progress.Phase, Text: m.Progress.Text})
		p.add(KindAwait, ps, m, "", why, nil)
		return
	}
	p.clone(ps, s, true)
	p.add(KindReplace, ps, m, "", why, p.destroyStep(ps, m))
}

// destroyStep is nil for a machine with disks that are not its own, which would go with it.
func (p *planner) destroyStep(ps *poolState, m *member) *Step {
	if len(m.ForeignDisks) == 0 {
		return m.step(ActDestroy)
	}
	field := ""
	if !ps.removed {
		field = ps.field()
	}
	p.foreignDisks(field, m.Machine)
	return nil
}

func (p *planner) foreignDisks(field string, m Machine) {
	for _, disk := range m.ForeignDisks {
		p.problems.fail(field, "%s cannot be destroyed: the disk %s is attached to it and is not its own. Detach the disk.",
			cmp.Or(m.Path, m.Name), disk)
	}
}

func (p *planner) cloneDetail(pool NamedPool, placement int) string {
	name := path.Base(p.spec.Template)
	if p.obs.Facts == nil || p.obs.Facts.Template == nil {
		return "from " + name
	}
	linked, why := p.cloneMode(pool, placement)
	mode := CloneFull
	if linked {
		mode = CloneLinked
	}
	return fmt.Sprintf("from %s (%s: %s)", path.Base(p.obs.Facts.Template.Path), mode, why)
}
