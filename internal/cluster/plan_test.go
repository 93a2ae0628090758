package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// built is the observed state of a spec that is met: every machine is there, on, and has joined.
func built(spec Spec) Observed {
	facts := factsFor(spec)
	obs := Observed{GatewayID: "gw", ClusterID: "c1", Folder: FolderFacts{Exists: true}, Facts: &facts}
	for _, pool := range spec.Pools() {
		for ordinal := range pool.Count {
			obs.Machines = append(obs.Machines, machineOf(spec, pool, ordinal, 1))
		}
	}
	return obs
}

// machineOf is a machine as the spec wants it, in the placement a plan would choose for a full pool.
func machineOf(spec Spec, pool NamedPool, ordinal, generation int) Machine {
	id := Identity{Gateway: "gw", Cluster: "c1", Pool: pool.Name, Ordinal: ordinal, Generation: generation}
	name := MachineName(spec.Name, id)
	m := Machine{
		Owner: Owner{
			Identity: id, Version: OwnerVersion, Template: "/dc/vm/templates/" + spec.Template,
			KubernetesVersion: spec.KubernetesVersion, Placement: pool.Placements[ordinal%len(pool.Placements)],
			Bootstrap: spec.BootstrapDigest(), DiskGiB: pool.DiskGiB,
		},
		Name: name, Moid: "moid-" + name, UUID: id.InstanceUUID(), Path: "/dc/vm/k8s/prod/" + name, InFolder: true,
		PowerState: poweredOn, ConnectionState: connected, CPU: pool.CPU, MemoryMiB: pool.MemoryMiB, DiskGiB: pool.DiskGiB,
		Joined: true, Progress: Progress{Phase: PhaseJoined, Status: ProgressDone},
		Node: pool.node(),
	}
	m.at(m.Placement)
	return m
}

// change changes the machine of the given name.
func (o *Observed) change(name string, change func(*Machine)) {
	i := slices.IndexFunc(o.Machines, func(m Machine) bool { return m.Name == name })
	change(&o.Machines[i])
}

func (o *Observed) remove(names ...string) {
	o.Machines = slices.DeleteFunc(o.Machines, func(m Machine) bool { return slices.Contains(names, m.Name) })
}

func (o *Observed) addMachine(spec Spec, pool string, ordinal, generation int, change func(*Machine)) {
	for _, p := range spec.Pools() {
		if p.Name == pool {
			m := machineOf(spec, p, ordinal, generation)
			change(&m)
			o.Machines = append(o.Machines, m)
		}
	}
}

func booting(m *Machine) {
	m.Joined, m.Progress = false, Progress{Phase: "boot", Status: ProgressRunning}
}

func failing(m *Machine) {
	m.Joined, m.Progress = false, Progress{Phase: "kubeadm", Status: ProgressFailed, Text: "no route"}
}

func off(m *Machine) { m.PowerState = "poweredOff" }

// told is a plan as lines for people, and the steps that may start now.
type told struct {
	Lines []string
	Steps []string
}

func tell(plan Plan) told {
	got := told{Lines: Summarize(plan.Operations)}
	for _, op := range plan.Operations {
		if op.Step == nil {
			continue
		}
		text := fmt.Sprintf("%s %s", op.Step.Action, op.Step.Name)
		if op.Step.Join != "" {
			text += " " + string(op.Step.Join)
		}
		got.Steps = append(got.Steps, text)
	}
	return got
}

// planTest is a case of a plan: a spec that is met, what then changes in the spec, and what in the world.
type planTest struct {
	reason string
	before func(*Spec)
	spec   func(*Spec)
	world  func(Spec, *Observed)
	want   told
}

func (tt planTest) run(t *testing.T) {
	t.Helper()
	spec := validSpec()
	if tt.before != nil {
		tt.before(&spec)
	}
	obs := built(spec)
	if tt.spec != nil {
		tt.spec(&spec)
		facts := factsFor(spec)
		obs.Facts = &facts
	}
	if tt.world != nil {
		tt.world(spec, &obs)
	}
	plan := MakePlan(spec, obs)
	if diff := cmp.Diff(tt.want, tell(plan)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if ready := Ready(spec, obs); ready != (len(tt.want.Lines) == 0) {
		t.Errorf("Ready = %v with %d lines", ready, len(tt.want.Lines))
	}
}

func runPlanTests(t *testing.T, tests []planTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.reason, tt.run)
	}
}

const linkedFrom = " from ubuntu-2404-kube-1.34.1 (linked: snapshot present, same disk size)"

func TestPlanCreates(t *testing.T) {
	runPlanTests(t, []planTest{
		{reason: "What is met needs nothing."},
		{
			reason: "The folder comes before all else.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.Folder.Exists = nil, false },
			want: told{
				Lines: []string{
					"create folder /dc/vm/k8s/prod", "clone prod-cp-{0,1,2}" + linkedFrom, "clone prod-general-{0,1,2}" + linkedFrom,
				},
				Steps: []string{"create_folder /dc/vm/k8s/prod"},
			},
		},
		{
			reason: "One machine initializes the cluster, and nobody joins before it has.",
			world:  func(_ Spec, o *Observed) { o.Machines = nil },
			want: told{
				Lines: []string{"clone prod-cp-{0,1,2}" + linkedFrom, "clone prod-general-{0,1,2}" + linkedFrom},
				Steps: []string{"clone prod-cp-0 init"},
			},
		},
		{
			reason: "While the first boots, all wait, whoever asks again.",
			world: func(_ Spec, o *Observed) {
				o.Machines = o.Machines[:1]
				booting(&o.Machines[0])
			},
			want: told{Lines: []string{
				"clone prod-cp-{1,2}" + linkedFrom, "wait for prod-cp-0: it has not joined yet",
				"clone prod-general-{0,1,2}" + linkedFrom,
			}},
		},
		{
			reason: "A clone in flight is as good as one that is there.",
			world: func(s Spec, o *Observed) {
				o.Machines = nil
				o.Running = []Step{*MakePlan(s, *o).Operations[0].Step}
			},
			want: told{Lines: []string{
				"clone prod-cp-{1,2}" + linkedFrom, "wait for prod-cp-0: it has not joined yet",
				"clone prod-general-{0,1,2}" + linkedFrom,
			}},
		},
		{
			reason: "A guest that says it has joined is marked so.",
			world: func(_ Spec, o *Observed) {
				o.Machines = o.Machines[:1]
				o.Machines[0].Joined = false
			},
			want: told{
				Lines: []string{
					"clone prod-cp-{1,2}" + linkedFrom, "wait for prod-cp-0: it has joined, its boot secrets are to be cleared",
					"clone prod-general-{0,1,2}" + linkedFrom,
				},
				Steps: []string{"finish prod-cp-0"},
			},
		},
		{
			reason: "Then the control plane joins one by one, and workers all at once.",
			world:  func(_ Spec, o *Observed) { o.Machines = o.Machines[:1] },
			want: told{
				Lines: []string{"clone prod-cp-{1,2}" + linkedFrom, "clone prod-general-{0,1,2}" + linkedFrom},
				Steps: []string{
					"clone prod-cp-1 join-control-plane", "clone prod-general-0 join-worker", "clone prod-general-1 join-worker",
					"clone prod-general-2 join-worker",
				},
			},
		},
		{
			reason: "Without facts clones are shown and not begun.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.Facts = o.Machines[:3], nil },
			want:   told{Lines: []string{"clone prod-general-{0,1,2} from ubuntu-2404-kube-1.34.1"}},
		},
		{
			reason: "A disk larger than the template's is cloned in full.",
			spec:   withGeneral(func(p *Pool) { p.DiskGiB = 40 }),
			world:  func(_ Spec, o *Observed) { o.remove("prod-general-0", "prod-general-1", "prod-general-2") },
			want: told{
				Lines: []string{"clone prod-general-{0,1,2} from ubuntu-2404-kube-1.34.1 (full: disk grows from 20 to 40 GiB)"},
				Steps: []string{"clone prod-general-0 join-worker", "clone prod-general-1 join-worker", "clone prod-general-2 join-worker"},
			},
		},
		{
			reason: "A template elsewhere, and without snapshot, is cloned in full.",
			world: func(_ Spec, o *Observed) {
				o.remove("prod-general-1")
				o.Facts.Template.Snapshot, o.Facts.Template.Datastores = "", []string{"other"}
			},
			want: told{
				Lines: []string{"clone prod-general-1 from ubuntu-2404-kube-1.34.1 (full: the template has no snapshot, " +
					"the template is not on datastore ds-a)"},
				Steps: []string{"clone prod-general-1 join-worker"},
			},
		},
		{
			reason: "Full clones can be asked for.",
			spec:   func(s *Spec) { s.CloneMode = CloneFull },
			world:  func(_ Spec, o *Observed) { o.remove("prod-general-1") },
			want: told{
				Lines: []string{"clone prod-general-1 from ubuntu-2404-kube-1.34.1 (full: as asked for)"},
				Steps: []string{"clone prod-general-1 join-worker"},
			},
		},
	})
}

func TestPlanScales(t *testing.T) {
	spread := withGeneral(func(p *Pool) {
		p.Count = 5
		p.Placements = []Placement{place1("cl-a", "ds-a"), place1("cl-c", "ds-a")}
	})
	runPlanTests(t, []planTest{
		{
			reason: "New machines take the smallest free ordinals.",
			spec:   withGeneral(func(p *Pool) { p.Count = 4 }),
			world:  func(_ Spec, o *Observed) { o.remove("prod-general-1") },
			want: told{
				Lines: []string{"clone prod-general-{1,3}" + linkedFrom},
				Steps: []string{"clone prod-general-1 join-worker", "clone prod-general-3 join-worker"},
			},
		},
		{
			reason: "The highest ordinal of the fullest placement goes first.",
			before: spread,
			spec:   withGeneral(func(p *Pool) { p.Count = 3 }),
			want: told{
				Lines: []string{"destroy prod-general-{3,4}: pool general shrinks to 3"},
				Steps: []string{"destroy prod-general-3", "destroy prod-general-4"},
			},
		},
		{
			reason: "Machines that serve nobody go before those that do: failed, booting, off.",
			before: spread,
			spec:   withGeneral(func(p *Pool) { p.Count = 2 }),
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-1", booting)
				o.change("prod-general-0", failing)
				o.change("prod-general-2", off)
			},
			want: told{
				Lines: []string{"destroy prod-general-{0,1,2}: pool general shrinks to 2"},
				Steps: []string{"destroy prod-general-0", "destroy prod-general-1", "destroy prod-general-2"},
			},
		},
		{
			reason: "Machines of a placement that is gone go before others.",
			before: spread,
			spec: withGeneral(func(p *Pool) {
				p.Count = 3
				p.Placements = p.Placements[:1]
			}),
			want: told{
				Lines: []string{"destroy prod-general-{1,3}: pool general shrinks to 3"},
				Steps: []string{"destroy prod-general-1", "destroy prod-general-3"},
			},
		},
		{
			reason: "A removed pool goes at once.",
			spec:   func(s *Spec) { s.WorkerPools = nil },
			want: told{
				Lines: []string{"destroy prod-general-{0,1,2}: pool general is removed"},
				Steps: []string{"destroy prod-general-0", "destroy prod-general-1", "destroy prod-general-2"},
			},
		},
		{
			reason: "The control plane shrinks one by one.",
			spec:   func(s *Spec) { s.ControlPlane.Count = 1 },
			want: told{
				Lines: []string{"destroy prod-cp-{1,2}: the control plane shrinks to 1"},
				Steps: []string{"destroy prod-cp-1"},
			},
		},
		{
			reason: "The control plane grows one by one.",
			before: func(s *Spec) { s.ControlPlane.Count = 1 },
			spec:   func(s *Spec) { s.ControlPlane.Count = 3 },
			want: told{
				Lines: []string{"clone prod-cp-{1,2}" + linkedFrom},
				Steps: []string{"clone prod-cp-1 join-control-plane"},
			},
		},
		{
			reason: "A long row of machines is one line.",
			before: withGeneral(func(p *Pool) { p.Count = 0 }),
			spec:   withGeneral(func(p *Pool) { p.Count = 12 }),
			want: told{
				Lines: []string{"clone prod-general-{0..11}" + linkedFrom},
				Steps: func() (steps []string) {
					for i := range 12 {
						steps = append(steps, fmt.Sprintf("clone prod-general-%d join-worker", i))
					}
					return steps
				}(),
			},
		},
	})
}

func TestPlanSpreads(t *testing.T) {
	spec := validSpec()
	withGeneral(func(p *Pool) {
		p.Count = 5
		p.Placements = []Placement{place1("cl-a", "ds-a"), place1("cl-b", "ds-b"), place1("cl-c", "ds-a")}
	})(&spec)
	obs := built(spec)
	obs.remove("prod-general-0", "prod-general-2", "prod-general-3") // Of cl-a, cl-c and cl-a.
	var got []string
	for _, op := range MakePlan(spec, obs).Operations {
		got = append(got, op.Step.Name+" "+op.Step.Placement.ComputeCluster)
	}
	want := []string{"prod-general-0 cl-a", "prod-general-2 cl-c", "prod-general-3 cl-a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
