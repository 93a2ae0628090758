package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// world is a vCenter with guests, as far as the planner can tell one from the other. Steps take their time, fail, or
// succeed without saying so; guests join, hang or fail; and somebody else is in there as well.
type world struct {
	t       *rapid.T
	spec    Spec
	facts   Facts
	folder  bool
	vms     map[string]*Machine // by moid
	running []Step
	owners  map[string]Owner // of running clones, by VM name
	moids   int
	// retry are failed machines that the apply that runs now replaces.
	retry map[string]bool
	// tellsRunning is false for a caller that does not pass on what is in flight and only never starts a step twice.
	tellsRunning bool
	// wasInitialized is set once a control plane machine has joined.
	wasInitialized bool
}

func newWorld(t *rapid.T, spec Spec) *world {
	w := &world{t: t, vms: map[string]*Machine{}, owners: map[string]Owner{}, retry: map[string]bool{}}
	w.tellsRunning = true
	w.want(spec)
	return w
}

// want gives the world another spec, with a template and placements to match.
func (w *world) want(spec Spec) {
	w.spec = spec
	w.facts = factsFor(spec)
}

func factsFor(spec Spec) Facts {
	facts := Facts{
		DatacenterExists: true,
		Template: &TemplateFacts{
			Path: "/dc/vm/templates/" + spec.Template, KubernetesVersion: spec.KubernetesVersion,
			DiskGiB: 20, DiskKeys: []int32{2000}, Snapshot: "base", Datastores: []string{"ds-a"},
		},
		Placements: map[string][]PlacementFacts{},
	}
	for _, pool := range spec.Pools() {
		for _, p := range pool.Placements {
			found := PlacementFacts{
				ComputeCluster: Lookup{Path: "/dc/host/" + p.ComputeCluster},
				ResourcePool:   Lookup{Path: "/dc/host/" + p.ComputeCluster + "/Resources"},
				Datastore:      Lookup{Path: "/dc/datastore/" + p.Datastore},
				DatastoreName:  p.Datastore, FreeGiB: 10000, DatastoreReachable: true, HostsUsable: 3,
			}
			for _, network := range p.Networks {
				found.Networks = append(found.Networks, Lookup{Path: "/dc/network/" + network})
			}
			facts.Placements[pool.Name] = append(facts.Placements[pool.Name], found)
		}
	}
	return facts
}

// observed is the world as the planner is told, in an order that means nothing.
func (w *world) observed() Observed {
	obs := Observed{GatewayID: "gw", ClusterID: "c1", Folder: FolderFacts{Exists: w.folder}}
	facts := w.facts
	obs.Facts = &facts
	for _, moid := range slices.Sorted(maps.Keys(w.vms)) {
		obs.Machines = append(obs.Machines, *w.vms[moid])
		obs.RetryFailed = obs.RetryFailed || w.retry[w.vms[moid].UUID]
	}
	if w.tellsRunning {
		obs.Running = slices.Clone(w.running)
	}
	return obs
}

func (w *world) plan() Plan {
	obs := w.observed()
	plan := MakePlan(w.spec, obs)
	for _, failure := range plan.Failures {
		// The apply ends with the failure, and somebody applies again.
		for _, vm := range w.vms {
			if vm.Name == failure.Machine {
				w.retry[vm.UUID] = true
			}
		}
	}
	return plan
}

func (w *world) pool(name string) []*Machine {
	var machines []*Machine
	for _, moid := range slices.Sorted(maps.Keys(w.vms)) {
		if vm := w.vms[moid]; vm.Pool == name && !vm.Copy() {
			machines = append(machines, vm)
		}
	}
	return machines
}

func (w *world) isRunning(step Step) bool {
	return slices.ContainsFunc(w.running, func(s Step) bool { return s.Action == step.Action && s.Name == step.Name })
}

// serves tells whether a machine is a node that works now.
func (w *world) serves(m *Machine) bool {
	return m.Joined && m.PowerState == poweredOn && m.ConnectionState == connected &&
		!slices.ContainsFunc(w.running, func(s Step) bool {
			return s.Identity == m.Identity && (s.Action == ActDestroy || s.Action == ActReconfigure)
		})
}

func (w *world) serving(pool string) int {
	n := 0
	for _, m := range w.pool(pool) {
		if w.serves(m) {
			n++
		}
	}
	return n
}

// start sets a step going.
func (w *world) start(step Step) {
	if step.Action == ActClone {
		owner, err := OwnerFor(w.spec, &w.facts, step, "op")
		if err != nil {
			w.t.Fatalf("OwnerFor: %v", err)
		}
		w.owners[step.Name] = owner
	}
	w.running = append(w.running, step)
}

// finish ends a running step, which has been done or not.
func (w *world) finish(i int, done bool) {
	step := w.running[i]
	w.running = slices.Delete(w.running, i, i+1)
	if !done {
		return
	}
	vm := w.vms[step.Moid]
	if vm == nil && step.Action != ActClone && step.Action != ActCreateFolder {
		return // Somebody else was faster.
	}
	switch step.Action {
	case ActCreateFolder:
		w.folder = true
	case ActClone:
		w.clone(step)
	case ActDestroy:
		delete(w.vms, step.Moid)
	case ActPowerOn:
		vm.PowerState = poweredOn
	case ActReconfigure:
		vm.CPU, vm.MemoryMiB, vm.DiskGiB = step.CPU, step.MemoryMiB, max(vm.DiskGiB, step.DiskGiB)
	case ActRelocate:
		vm.at(step.Placement)
		vm.InFolder = true
	case ActLabel:
		vm.Node = step.Node
	case ActFinish:
		vm.Joined = true
		w.wasInitialized = true
	default:
		w.t.Fatalf("step %s is not known", step.Action)
	}
}

func (w *world) clone(step Step) {
	for _, vm := range w.vms {
		if vm.Name == step.Name {
			return // DuplicateName
		}
	}
	w.moids++
	vm := &Machine{
		Owner: w.owners[step.Name], Name: step.Name, Moid: fmt.Sprintf("vm-%03d", w.moids),
		UUID: step.Identity.InstanceUUID(), Path: "/dc/vm/k8s/" + step.Name, InFolder: true,
		PowerState: poweredOn, ConnectionState: connected,
		CPU: step.CPU, MemoryMiB: step.MemoryMiB, DiskGiB: step.DiskGiB, Node: step.Node,
	}
	vm.at(step.Placement)
	w.vms[vm.Moid] = vm
}

func (m *Machine) at(p Placement) {
	m.ComputeCluster = "/dc/host/" + p.ComputeCluster
	m.ResourcePool = m.ComputeCluster + "/Resources"
	m.Datastore = "/dc/datastore/" + p.Datastore
}

// boot lets a guest get on. Those that join need somebody to join.
func (w *world) boot(m *Machine, fails bool) {
	if m.Joined || m.PowerState != poweredOn || m.Progress.HasJoined() || m.Progress.HasFailed() {
		return
	}
	if fails {
		m.Progress = Progress{Phase: "kubeadm", Status: ProgressFailed, Text: "no route to host"}
		return
	}
	if m.Join != JoinInit && w.serving(ControlPlanePool) == 0 {
		return
	}
	m.Progress = Progress{Phase: PhaseJoined, Status: ProgressDone}
}

// settle lets everything that is on its way arrive, and nothing go wrong.
func (w *world) settle(rounds int) {
	for range rounds {
		for _, vm := range w.vms {
			vm.ConnectionState = connected
		}
		for len(w.running) > 0 {
			w.finish(0, true)
		}
		for _, moid := range slices.Sorted(maps.Keys(w.vms)) {
			w.boot(w.vms[moid], false)
		}
		plan := w.plan()
		if len(plan.Operations) == 0 {
			return
		}
		for _, op := range plan.Operations {
			if op.Step != nil {
				w.checked(*op.Step)
			}
		}
	}
	w.t.Fatalf("the world does not settle:\n%s\n%s", w, Summarize(w.plan().Operations))
}

func (w *world) String() string {
	text := fmt.Sprintf("spec: %+v\nrunning: %+v\n", w.spec, w.running)
	for _, moid := range slices.Sorted(maps.Keys(w.vms)) {
		vm := w.vms[moid]
		text += fmt.Sprintf("%s %s joined=%v %s %s %v %s\n", moid, vm.Name, vm.Joined, vm.PowerState, vm.ConnectionState,
			vm.Progress, cmp.Or(vm.Template, "?"))
	}
	return text
}
