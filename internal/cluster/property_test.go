package cluster

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func place1(cc, ds string) Placement {
	return Placement{ComputeCluster: cc, Datastore: ds, Networks: []string{"net"}}
}

var allPlacements = []Placement{place1("cl-a", "ds-a"), place1("cl-b", "ds-b"), place1("cl-c", "ds-a")}

func drawPool(t *rapid.T, name string, count int) Pool {
	pool := Pool{
		Count:      count,
		CPU:        rapid.SampledFrom([]int{2, 4}).Draw(t, name+" cpu"),
		MemoryMiB:  rapid.SampledFrom([]int{2048, 4096}).Draw(t, name+" memory"),
		DiskGiB:    rapid.SampledFrom([]int{20, 40}).Draw(t, name+" disk"),
		Placements: allPlacements[:rapid.IntRange(1, 3).Draw(t, name+" placements")],
		UpdateStrategy: rapid.SampledFrom([]UpdateStrategy{
			{MaxSurge: 1}, {MaxUnavailable: 1}, {MaxSurge: 1, MaxUnavailable: 1}, {MaxSurge: 2}, {MaxUnavailable: 2},
		}).Draw(t, name+" strategy"),
	}
	if rapid.Bool().Draw(t, name+" labelled") {
		pool.Labels = map[string]string{"tier": name}
	}
	if rapid.Bool().Draw(t, name+" last placement first") {
		pool.Placements = slices.Clone(pool.Placements)
		slices.Reverse(pool.Placements)
	}
	return pool
}

func drawSpec(t *rapid.T, versions int) Spec {
	spec := validSpec()
	version := rapid.SampledFrom([]string{"v1.33.2", "v1.34.1"}[:versions]).Draw(t, "version")
	spec.KubernetesVersion = version
	spec.Template = rapid.SampledFrom([]string{"ubuntu-", "flatcar-"}).Draw(t, "template") + version
	if rapid.Bool().Draw(t, "ntp") {
		spec.NTPServers = []string{"10.0.0.1"}
	}
	spec.ControlPlane = drawPool(t, "cp", rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "control planes"))
	if spec.ControlPlane.Count == 1 {
		spec.ControlPlane.UpdateStrategy.MaxSurge = 1
	}
	spec.WorkerPools = map[string]Pool{}
	for _, name := range []string{"batch", "general"} {
		if count := rapid.IntRange(-1, 5).Draw(t, name); count >= 0 {
			spec.WorkerPools[name] = drawPool(t, name, count)
		}
	}
	if problems := Validate(spec); len(problems) > 0 {
		t.Fatalf("the spec is not valid: %v", problems)
	}
	return spec
}

// checked starts a step after it has been held against what must never happen.
func (w *world) checked(step Step) {
	t := w.t
	if w.isRunning(step) {
		if w.tellsRunning {
			t.Fatalf("step %s %s was given while it runs", step.Action, step.Name)
		}
		return
	}
	before := w.serving(step.Identity.Pool)
	if step.Moid != "" {
		vm := w.vms[step.Moid]
		if vm == nil || vm.Copy() || vm.ConnectionState != connected {
			t.Fatalf("step %s %s is on a machine that is not ours to touch or out of reach", step.Action, step.Name)
		}
	}
	w.start(step)
	if !w.folder && step.Action != ActCreateFolder {
		t.Fatalf("step %s %s without a folder", step.Action, step.Name)
	}
	if !w.tellsRunning {
		w.checkInit(step)
		return
	}
	pool, kept := w.spec.WorkerPools[step.Identity.Pool]
	if step.Identity.Pool == ControlPlanePool {
		pool, kept = w.spec.ControlPlane, true
	}
	if !kept {
		return
	}
	switch step.Action {
	case ActClone:
		w.checkClone(step, pool)
	case ActDestroy, ActReconfigure, ActRelocate:
		w.checkDisruption(step, pool, before)
	default:
	}
}

func (w *world) checkInit(step Step) {
	if step.Action != ActClone {
		return
	}
	others := len(w.pool(ControlPlanePool))
	for _, s := range w.running {
		if s.Action == ActClone && s.Identity.Pool == ControlPlanePool && s.Name != step.Name {
			others++
		}
	}
	switch {
	case step.Join == JoinInit && (others > 0 || w.wasInitialized):
		w.t.Fatalf("%s would initialize the cluster once more\n%s", step.Name, w)
	case step.Join != JoinInit && w.serving(ControlPlanePool) == 0:
		w.t.Fatalf("%s has nobody to join", step.Name)
	case (step.Identity.Pool == ControlPlanePool) == (step.Join == JoinWorker):
		w.t.Fatalf("%s joins as %s", step.Name, step.Join)
	}
}

func (w *world) checkClone(step Step, pool Pool) {
	w.checkInit(step)
	total := len(w.pool(step.Identity.Pool))
	for _, s := range w.running {
		if s.Action == ActClone && s.Identity.Pool == step.Identity.Pool {
			total++
		}
	}
	surge := pool.UpdateStrategy.MaxSurge
	if step.Identity.Pool == ControlPlanePool {
		surge = min(1, surge)
		for _, m := range w.pool(ControlPlanePool) {
			if !m.Joined {
				w.t.Fatalf("%s joins the control plane while %s does", step.Name, m.Name)
			}
		}
	}
	if total > pool.Count+surge {
		w.t.Fatalf("%s makes %d machines of pool %s", step.Name, total, step.Identity.Pool)
	}
	for _, m := range w.pool(ControlPlanePool) {
		if step.Join == JoinWorker && m.KubernetesVersion != w.spec.KubernetesVersion {
			w.t.Fatalf("worker %s is made while %s is of %s", step.Name, m.Name, m.KubernetesVersion)
		}
	}
}

func (w *world) checkDisruption(step Step, pool Pool, before int) {
	after := w.serving(step.Identity.Pool)
	if after == before {
		return // It did not serve.
	}
	if step.Identity.Pool == ControlPlanePool {
		disrupted := 0
		for _, s := range w.running {
			if s.Identity.Pool == ControlPlanePool && s.Action != ActPowerOn && s.Action != ActLabel {
				disrupted++
			}
		}
		alone := pool.Count == 1 && before == 1 && step.Action != ActDestroy
		if disrupted > 1 || after < quorum(pool.Count) && !alone {
			w.t.Fatalf("%s %s leaves %d control plane machines, %d steps at once\n%s", step.Action, step.Name, after, disrupted, w)
		}
		return
	}
	floor := pool.Count - pool.UpdateStrategy.MaxUnavailable
	if slices.ContainsFunc(w.running, func(s Step) bool {
		return s.Action == ActReconfigure && s.Identity.Pool == step.Identity.Pool
	}) {
		floor = pool.Count - max(1, pool.UpdateStrategy.MaxUnavailable) // A power cycle is always granted to one.
	}
	if after >= floor {
		return
	}
	for _, m := range w.pool(step.Identity.Pool) {
		if m.Joined && !w.serves(m) && !slices.ContainsFunc(w.running, func(s Step) bool { return s.Identity == m.Identity }) {
			return // Drift took that one, not the plan.
		}
	}
	w.t.Fatalf("%s %s leaves %d workers, the floor is %d\n%s", step.Action, step.Name, after, floor, w)
}

// disturb is what somebody else does to the machines. It leaves one control plane machine.
func (w *world) disturb() {
	t := w.t
	moids := slices.Sorted(maps.Keys(w.vms))
	if len(moids) == 0 {
		return
	}
	vm := w.vms[rapid.SampledFrom(moids).Draw(t, "disturbed")]
	if vm.Copy() {
		return
	}
	switch rapid.IntRange(0, 6).Draw(t, "disturbance") {
	case 0:
		if vm.Pool == ControlPlanePool {
			others := 0
			for _, m := range w.pool(ControlPlanePool) {
				leaves := slices.ContainsFunc(w.running, func(s Step) bool {
					return s.Action == ActDestroy && s.Identity == m.Identity
				})
				if m != vm && m.Joined && !leaves {
					others++
				}
			}
			if others == 0 {
				return
			}
		}
		delete(w.vms, vm.Moid)
	case 1:
		vm.PowerState = "poweredOff"
	case 2:
		vm.CPU++
	case 3:
		vm.ComputeCluster = "/dc/host/elsewhere"
	case 4:
		vm.InFolder = false
	case 5:
		vm.ConnectionState = "disconnected"
	case 6:
		clone := *vm
		w.moids++
		clone.Moid = "copy-of-" + vm.Moid
		clone.UUID = "somebody-else"
		w.vms[clone.Moid] = &clone
	}
}

// turbulence lets a number of things happen in an order nobody expects.
func (w *world) turbulence(events, disturbances int) {
	t := w.t
	for range events {
		switch kind := rapid.IntRange(0, 9).Draw(t, "event"); {
		case kind <= 3:
			for _, op := range w.plan().Operations {
				if op.Step != nil && rapid.IntRange(0, 3).Draw(t, "starts") > 0 {
					w.checked(*op.Step)
				}
			}
		case kind <= 6 && len(w.running) > 0:
			i := rapid.IntRange(0, len(w.running)-1).Draw(t, "ends")
			w.finish(i, rapid.IntRange(0, 4).Draw(t, "done") > 0)
		case kind <= 8:
			for _, moid := range slices.Sorted(maps.Keys(w.vms)) {
				w.boot(w.vms[moid], rapid.IntRange(0, 9).Draw(t, "boot") == 0)
			}
		case kind == 9 && disturbances > 0:
			disturbances--
			w.disturb()
		}
	}
}

// met tells that the world is what the spec says and that the plan knows it.
func (w *world) met() {
	t := w.t
	for _, pool := range w.spec.Pools() {
		machines := w.pool(pool.Name)
		if len(machines) != pool.Count {
			t.Fatalf("pool %s has %d machines, want %d\n%s", pool.Name, len(machines), pool.Count, w)
		}
		ordinals := map[int]bool{}
		for _, m := range machines {
			ordinals[m.Ordinal] = true
			if !m.Joined || m.PowerState != poweredOn || m.CPU != pool.CPU || m.MemoryMiB != pool.MemoryMiB ||
				m.DiskGiB != pool.DiskGiB || m.Template != w.facts.Template.Path || !m.InFolder ||
				m.KubernetesVersion != w.spec.KubernetesVersion || m.Bootstrap != w.spec.BootstrapDigest() ||
				!maps.Equal(m.Node.Labels, pool.Labels) || placementIndex(pool.Placements, m.Placement) < 0 ||
				m.ComputeCluster != "/dc/host/"+m.Placement.ComputeCluster {
				t.Fatalf("machine %+v does not meet the spec of %s: %+v", m, pool.Name, pool)
			}
		}
		if len(ordinals) != len(machines) {
			t.Fatalf("pool %s: two machines of one ordinal", pool.Name)
		}
	}
	for _, vm := range w.vms {
		if pool := vm.Pool; pool != ControlPlanePool && !vm.Copy() {
			if _, ok := w.spec.WorkerPools[pool]; !ok {
				t.Fatalf("%s of removed pool %s is still there", vm.Name, pool)
			}
		}
	}
	obs := w.observed()
	if !Ready(w.spec, obs) {
		t.Fatal("not ready")
	}
	obs.Facts = nil
	if plan := MakePlan(w.spec, obs); len(plan.Operations) > 0 {
		t.Fatalf("without facts the plan is not empty: %v", Summarize(plan.Operations))
	}
}

func (w *world) deterministic() {
	obs := w.observed()
	first := MakePlan(w.spec, obs)
	obs.Machines = rapid.Permutation(obs.Machines).Draw(w.t, "order")
	slices.Reverse(obs.Running)
	if diff := cmp.Diff(first, MakePlan(w.spec, obs)); diff != "" {
		w.t.Fatalf("the plan depends on the order of what is observed:\n%s", diff)
	}
}

func TestPlanConverges(t *testing.T) {
	for _, tellsRunning := range []bool{true, false} {
		name := "told of running steps"
		if !tellsRunning {
			name = "not told of running steps"
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t, drawSpec(t, 1))
				w.tellsRunning = tellsRunning
				disturbances := 3
				if !tellsRunning {
					disturbances = 0 // What is in flight can be guessed only where nobody else interferes.
				}
				w.turbulence(rapid.IntRange(0, 30).Draw(t, "events"), disturbances)
				w.settle(200)
				w.met()
				w.want(drawSpec(t, 2))
				w.turbulence(rapid.IntRange(0, 60).Draw(t, "events"), disturbances)
				w.deterministic()
				w.settle(300)
				w.met()
			})
		})
	}
}

// TestPlanWithoutDisturbance holds the plan to its word: what it says first is all that happens.
func TestPlanWithoutDisturbance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawSpec(t, 1))
		w.settle(200)
		w.met()
		for _, pool := range w.spec.Pools() {
			counts := make([]int, len(pool.Placements))
			for _, m := range w.pool(pool.Name) {
				counts[placementIndex(pool.Placements, m.Placement)]++
			}
			if slices.Max(counts)-slices.Min(counts) > 1 {
				t.Fatalf("pool %s is not spread: %v", pool.Name, counts)
			}
		}
		before := maps.Clone(w.vms)
		w.want(drawSpec(t, 2))
		announced := map[string]Kind{}
		for _, op := range w.plan().Operations {
			if op.Kind == KindReplace || op.Kind == KindDestroy {
				announced[op.Machine] = op.Kind
			}
		}
		w.settle(300)
		w.met()
		for moid, vm := range before {
			if _, stays := w.vms[moid]; stays == (announced[vm.Name] != "") {
				t.Fatalf("%s: the plan said %q", vm.Name, announced[vm.Name])
			}
		}
	})
}
