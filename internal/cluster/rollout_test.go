package cluster

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	newTemplate = "ubuntu-2404-kube-1.34.1-b2"
	upgraded    = "template changes, Kubernetes v1.34.1 -> v1.35.0"
)

func retemplate(s *Spec) { s.Template = newTemplate }

func upgrade(s *Spec) { s.Template, s.KubernetesVersion = "ubuntu-2404-kube-1.35.0", "v1.35.0" }

// onlyWorkersOld lets the control plane be replaced already.
func onlyWorkersOld(s Spec, o *Observed) {
	o.remove("prod-cp-0", "prod-cp-1", "prod-cp-2")
	for ordinal := range 3 {
		o.addMachine(s, ControlPlanePool, ordinal, 2, func(*Machine) {})
	}
}

func strategy(surge, unavailable int) func(*Spec) {
	return withGeneral(func(p *Pool) { p.UpdateStrategy = UpdateStrategy{MaxSurge: surge, MaxUnavailable: unavailable} })
}

func TestPlanReplaces(t *testing.T) {
	const cps, workers = "replace prod-cp-{0,1,2}, one at a time: ", "replace prod-general-{0,1,2}, one at a time: "
	runPlanTests(t, []planTest{
		{
			reason: "A template replaces every machine, pools beside each other, with surge.",
			spec:   retemplate,
			want: told{
				Lines: []string{cps + "template changes", workers + "template changes"},
				Steps: []string{"clone prod-cp-0-r2 join-control-plane", "clone prod-general-0-r2 join-worker"},
			},
		},
		{
			reason: "A version replaces the control plane first, all of it.",
			spec:   upgrade,
			want: told{
				Lines: []string{cps + upgraded, workers + upgraded},
				Steps: []string{"clone prod-cp-0-r2 join-control-plane"},
			},
		},
		{
			reason: "Workers follow when the control plane is through.",
			spec:   upgrade,
			world:  onlyWorkersOld,
			want:   told{Lines: []string{workers + upgraded}, Steps: []string{"clone prod-general-0-r2 join-worker"}},
		},
		{
			reason: "They wait for a control plane machine that is still missing.",
			spec:   upgrade,
			world: func(s Spec, o *Observed) {
				onlyWorkersOld(s, o)
				o.remove("prod-cp-2-r2")
			},
			want: told{
				Lines: []string{
					"clone prod-cp-2 from ubuntu-2404-kube-1.35.0 (linked: snapshot present, same disk size)", workers + upgraded,
				},
				Steps: []string{"clone prod-cp-2 join-control-plane"},
			},
		},
		{
			reason: "No new worker is of a version above the control plane's.",
			spec: func(s *Spec) {
				upgrade(s)
				withGeneral(func(p *Pool) { p.Count = 4 })(s)
			},
			world: func(_ Spec, o *Observed) { o.Facts.Template.Snapshot = "" },
			want: told{
				Lines: []string{
					cps + upgraded,
					"clone prod-general-3 from ubuntu-2404-kube-1.35.0 (full: the template has no snapshot)",
					workers + upgraded,
				},
				Steps: []string{"clone prod-cp-0-r2 join-control-plane"},
			},
		},
		{
			reason: "The old machine waits for the new one.",
			spec:   retemplate,
			world: func(s Spec, o *Observed) {
				onlyWorkersOld(s, o)
				o.addMachine(s, "general", 0, 2, booting)
			},
			want: told{Lines: []string{"wait for prod-general-0-r2: it has not joined yet", workers + "template changes"}},
		},
		{
			reason: "When the new one has joined, the old one goes, and no other starts before it has gone.",
			spec:   retemplate,
			world: func(s Spec, o *Observed) {
				onlyWorkersOld(s, o)
				o.addMachine(s, "general", 0, 2, func(*Machine) {})
			},
			want: told{
				Lines: []string{
					"replace prod-general-0: template changes", "replace prod-general-{1,2}, one at a time: template changes",
				},
				Steps: []string{"destroy prod-general-0"},
			},
		},
		{
			reason: "Without surge the old one goes first.",
			before: strategy(0, 1),
			spec:   retemplate,
			world:  onlyWorkersOld,
			want:   told{Lines: []string{workers + "template changes"}, Steps: []string{"destroy prod-general-0"}},
		},
		{
			reason: "Surge and unavailability are used side by side.",
			before: strategy(1, 1),
			spec:   retemplate,
			world:  onlyWorkersOld,
			want: told{
				Lines: []string{"replace prod-general-{0,1,2}, 2 at a time: template changes"},
				Steps: []string{"clone prod-general-0-r2 join-worker", "destroy prod-general-1"},
			},
		},
		{
			reason: "A machine that is down counts as unavailable: no other goes, and it goes first.",
			before: strategy(0, 1),
			spec:   retemplate,
			world: func(s Spec, o *Observed) {
				onlyWorkersOld(s, o)
				o.change("prod-general-2", off)
			},
			want: told{Lines: []string{workers + "template changes"}, Steps: []string{"destroy prod-general-2"}},
		},
		{
			reason: "The control plane without surge gives up one of three.",
			before: func(s *Spec) {
				s.WorkerPools, s.ControlPlane.UpdateStrategy = nil, UpdateStrategy{MaxUnavailable: 2}
			},
			spec: retemplate,
			want: told{Lines: []string{cps + "template changes"}, Steps: []string{"destroy prod-cp-0"}},
		},
		{
			reason: "But none when it has lost one already.",
			before: func(s *Spec) {
				s.WorkerPools, s.ControlPlane.UpdateStrategy = nil, UpdateStrategy{MaxUnavailable: 2}
			},
			spec: retemplate,
			world: func(_ Spec, o *Observed) {
				o.change("prod-cp-2", func(m *Machine) { m.ConnectionState = "disconnected" })
			},
			want: told{Lines: []string{cps + "template changes"}},
		},
		{
			reason: "A single control plane machine is replaced with surge.",
			before: func(s *Spec) { s.WorkerPools, s.ControlPlane.Count = nil, 1 },
			spec:   retemplate,
			want: told{
				Lines: []string{"replace prod-cp-0: template changes"}, Steps: []string{"clone prod-cp-0-r2 join-control-plane"},
			},
		},
		{
			reason: "SSH keys and NTP servers are taken up by new machines only.",
			spec:   func(s *Spec) { s.WorkerPools, s.NTPServers = nil, []string{"10.0.0.1"} },
			world:  func(_ Spec, o *Observed) { o.remove("prod-general-0", "prod-general-1", "prod-general-2") },
			want: told{
				Lines: []string{cps + "SSH keys or NTP servers change"}, Steps: []string{"clone prod-cp-0-r2 join-control-plane"},
			},
		},
		{
			reason: "A placement that is gone takes its machines with it, and its replacement spreads.",
			before: withGeneral(func(p *Pool) { p.Placements = []Placement{place1("cl-a", "ds-a"), place1("cl-b", "ds-b")} }),
			spec:   withGeneral(func(p *Pool) { p.Placements = []Placement{place1("cl-a", "ds-a"), place1("cl-c", "ds-a")} }),
			want: told{
				Lines: []string{"replace prod-general-1: its placement is no longer listed"},
				Steps: []string{"clone prod-general-1-r2 join-worker"},
			},
		},
		{
			reason: "A place written otherwise is the same place.",
			spec: withGeneral(func(p *Pool) {
				p.Placements = []Placement{{
					ComputeCluster: "/dc/host/cl-a", ResourcePool: "Resources", Datastore: "/dc/datastore/ds-a",
					Networks: []string{"/dc/network/net"},
				}}
			}),
			world: func(_ Spec, o *Observed) { o.Facts = nil },
		},
		{
			reason: "A smaller disk is another machine.",
			before: withGeneral(func(p *Pool) { p.Count, p.DiskGiB = 1, 40 }),
			spec:   withGeneral(func(p *Pool) { p.DiskGiB = 30 }),
			want: told{
				Lines: []string{"replace prod-general-0: disk shrinks from 40 to 30 GiB"},
				Steps: []string{"clone prod-general-0-r2 join-worker"},
			},
		},
		{
			reason: "A linked clone's disk cannot grow.",
			before: withGeneral(func(p *Pool) { p.Count = 1 }),
			spec:   withGeneral(func(p *Pool) { p.DiskGiB = 30 }),
			world:  func(_ Spec, o *Observed) { o.change("prod-general-0", func(m *Machine) { m.Linked = true }) },
			want: told{
				Lines: []string{"replace prod-general-0: disk grows from 20 to 30 GiB, which a linked clone's cannot"},
				Steps: []string{"clone prod-general-0-r2 join-worker"},
			},
		},
		{
			reason: "A change that is taken back half-way keeps the old machine and drops the new.",
			world: func(s Spec, o *Observed) {
				o.addMachine(s, "general", 0, 2, func(m *Machine) { booting(m); m.Template = "x" })
			},
			want: told{
				Lines: []string{"destroy prod-general-0-r2: another machine has its place"}, Steps: []string{"destroy prod-general-0-r2"},
			},
		},
		{
			reason: "A machine that has not joined and cannot be kept makes room.",
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-0", func(m *Machine) { booting(m); m.Template = "/dc/x" })
			},
			want: told{
				Lines: []string{"replace prod-general-0: template changes"}, Steps: []string{"destroy prod-general-0"},
			},
		},
		{
			reason: "Without facts a template's name is compared, and nothing is replaced on a guess.",
			world:  func(_ Spec, o *Observed) { o.Facts = nil },
		},
		{
			reason: "A template that is gone is not another template.",
			world:  func(_ Spec, o *Observed) { o.Facts.Template = nil },
		},
	})
}

func TestPlanRepairs(t *testing.T) {
	size := withGeneral(func(p *Pool) { p.CPU, p.MemoryMiB, p.DiskGiB = 8, 16384, 30 })
	const resized = "reconfigure prod-general-{0,1,2}, 4 -> 8 CPU, 8192 -> 16384 MiB memory, 20 -> 30 GiB disk, " +
		"after a power cycle: its size differs from the specification"
	runPlanTests(t, []planTest{
		{
			reason: "What was powered off is powered on.",
			world:  func(_ Spec, o *Observed) { o.change("prod-general-1", off) },
			want:   told{Lines: []string{"power on prod-general-1: it is powered off"}, Steps: []string{"power_on prod-general-1"}},
		},
		{
			reason: "Even when nobody of the control plane is up.",
			world: func(_ Spec, o *Observed) {
				for _, name := range []string{"prod-cp-0", "prod-cp-1", "prod-cp-2"} {
					o.change(name, off)
				}
			},
			want: told{
				Lines: []string{"power on prod-cp-{0,1,2}: it is powered off"},
				Steps: []string{"power_on prod-cp-0", "power_on prod-cp-1", "power_on prod-cp-2"},
			},
		},
		{
			reason: "Sizes change in place, one at a time where no machine may be missing.",
			spec:   size,
			want:   told{Lines: []string{resized}, Steps: []string{"reconfigure prod-general-0"}},
		},
		{
			reason: "As many at a time as may be missing.",
			before: strategy(0, 2),
			spec:   size,
			want:   told{Lines: []string{resized}, Steps: []string{"reconfigure prod-general-0", "reconfigure prod-general-1"}},
		},
		{
			reason: "The control plane one at a time in any case.",
			spec: func(s *Spec) {
				s.ControlPlane.CPU, s.ControlPlane.UpdateStrategy = 8, UpdateStrategy{MaxUnavailable: 3}
			},
			want: told{
				Lines: []string{"reconfigure prod-cp-{0,1,2}, 4 -> 8 CPU, after a power cycle: its size differs from the specification"},
				Steps: []string{"reconfigure prod-cp-0"},
			},
		},
		{
			reason: "And not while another is down.",
			spec:   func(s *Spec) { s.ControlPlane.CPU = 8 },
			world: func(_ Spec, o *Observed) {
				o.change("prod-cp-0", func(m *Machine) { m.ConnectionState, m.CPU = "notResponding", 8 })
			},
			want: told{Lines: []string{
				"wait for prod-cp-0: vCenter cannot work on it, it is notResponding",
				"reconfigure prod-cp-{1,2}, 4 -> 8 CPU, after a power cycle: its size differs from the specification",
			}},
		},
		{
			reason: "A machine that is off is resized without a power cycle, and then turned on.",
			world:  func(_ Spec, o *Observed) { o.change("prod-general-1", func(m *Machine) { off(m); m.CPU = 2 }) },
			want: told{
				Lines: []string{
					"reconfigure prod-general-1, 2 -> 4 CPU: its size differs from the specification",
					"power on prod-general-1: it is powered off",
				},
				Steps: []string{"reconfigure prod-general-1"},
			},
		},
		{
			reason: "What was moved is moved back.",
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-0", func(m *Machine) { m.ComputeCluster = "/dc/host/cl-b" })
				o.change("prod-general-1", func(m *Machine) { m.ResourcePool = "/dc/host/cl-a/Resources/test" })
				o.change("prod-general-2", func(m *Machine) { m.InFolder = false })
			},
			want: told{
				Lines: []string{
					"move prod-general-{0,1} back to cl-a, ds-a: it was moved outside Terraform",
					"move prod-general-2 back to /dc/vm/k8s/prod: it was moved outside Terraform",
				},
				Steps: []string{"relocate prod-general-0", "relocate prod-general-1", "relocate prod-general-2"},
			},
		},
		{
			reason: "Labels, taints and annotations are written in place.",
			spec: withGeneral(func(p *Pool) {
				p.Labels, p.Taints = map[string]string{"tier": "a"}, []Taint{{"k", "v", "NoSchedule"}}
			}),
			want: told{
				Lines: []string{"label prod-general-{0,1,2}: labels and taints change"},
				Steps: []string{"label prod-general-0", "label prod-general-1", "label prod-general-2"},
			},
		},
		{
			reason: "A host out of reach is waited for; its machine is never replaced.",
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-1", func(m *Machine) { m.ConnectionState, m.PowerState = "disconnected", "" })
			},
			want: told{Lines: []string{"wait for prod-general-1: vCenter cannot work on it, it is disconnected"}},
		},
		{
			reason: "A step in flight is not given again.",
			spec:   size,
			world: func(s Spec, o *Observed) {
				o.Running = []Step{*MakePlan(s, *o).Operations[0].Step}
			},
			want: told{Lines: []string{resized}},
		},
	})
}

func TestPlanFailures(t *testing.T) {
	spec := validSpec()
	obs := built(spec)
	obs.change("prod-general-1", failing)

	plan := MakePlan(spec, obs)
	want := told{Lines: []string{"wait for prod-general-1: it failed in phase kubeadm: no route"}}
	if diff := cmp.Diff(want, tell(plan)); diff != "" {
		t.Errorf("a running apply: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Failure{{"prod-general-1", "kubeadm", "no route"}}, plan.Failures); diff != "" {
		t.Errorf("failures: -want +got:\n%s", diff)
	}

	obs.RetryFailed = true
	plan = MakePlan(spec, obs)
	want = told{
		Lines: []string{"replace prod-general-1: it failed in phase kubeadm: no route"}, Steps: []string{"destroy prod-general-1"},
	}
	if diff := cmp.Diff(want, tell(plan)); diff != "" {
		t.Errorf("a new apply: -want +got:\n%s", diff)
	}
	if len(plan.Failures) > 0 {
		t.Errorf("a new apply has failures: %v", plan.Failures)
	}
}

func TestPlanInitializesOnce(t *testing.T) {
	tests := []struct {
		reason string
		world  func(Spec, *Observed)
		lost   bool
		want   []string
		// waits are what is awaited all the same.
		waits []string
	}{
		{
			reason: "The only machine there is has failed before anyone joined: another may try.",
			world: func(_ Spec, o *Observed) {
				o.Machines = o.Machines[:1]
				o.change("prod-cp-0", failing)
				o.RetryFailed = true
			},
			want: []string{"destroy prod-cp-0"},
		},
		{
			reason: "It was destroyed before anyone joined: another initializes.",
			world:  func(_ Spec, o *Observed) { o.Machines = nil },
			want:   []string{"clone prod-cp-0 init"},
		},
		{
			reason: "A cluster that was ready once is lost, not new.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.EverReady = nil, true },
			lost:   true,
		},
		{
			reason: "Workers are proof that there was a cluster.",
			world:  func(_ Spec, o *Observed) { o.remove("prod-cp-0", "prod-cp-1", "prod-cp-2") },
			lost:   true,
		},
		{
			reason: "A machine that was to join is proof as well, and never becomes the first.",
			world: func(_ Spec, o *Observed) {
				o.Machines = o.Machines[1:2]
				o.change("prod-cp-1", func(m *Machine) { booting(m); m.Join = JoinControlPlane })
			},
			lost:  true,
			waits: []string{"wait for prod-cp-1: it has not joined yet"},
		},
		{
			reason: "A machine that says it has joined is a control plane.",
			world: func(_ Spec, o *Observed) {
				o.remove("prod-cp-0", "prod-cp-1")
				o.change("prod-cp-2", func(m *Machine) { m.Joined = false })
			},
			want: []string{"finish prod-cp-2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			obs := built(spec)
			tt.world(spec, &obs)
			plan := MakePlan(spec, obs)
			if diff := cmp.Diff(tt.want, tell(plan).Steps); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if lost := slices.Contains(fields(plan.Problems, SeverityError), "/control_plane"); lost != tt.lost {
				t.Errorf("lost = %v: %v", lost, plan.Problems)
			}
			if diff := cmp.Diff(tt.waits, Summarize(plan.Operations)); tt.lost && diff != "" {
				t.Errorf("planned for what is lost: -want +got:\n%s", diff)
			}
			if tt.lost && len(Check(spec, obs)) > 0 {
				t.Errorf("what nothing is made of is checked: %v", Check(spec, obs))
			}
			if Ready(spec, obs) {
				t.Error("Ready")
			}
		})
	}
}

func TestPlanProblems(t *testing.T) {
	copied := func(s Spec, o *Observed) {
		clone := o.Machines[3]
		clone.UUID, clone.Moid, clone.Name, clone.Path = "other", "vm-x", "restored", "/dc/vm/restored"
		o.Machines = append(o.Machines, clone)
	}
	tests := []struct {
		reason   string
		spec     func(*Spec)
		world    func(Spec, *Observed)
		errors   []string
		warnings []string
		steps    []string
	}{
		{
			reason:   "A copy is named and left alone.",
			world:    copied,
			warnings: []string{""},
		},
		{
			reason: "A copy is not the machine, whose next generation it cannot stand in the way of.",
			world: func(s Spec, o *Observed) {
				copied(s, o)
				o.remove("prod-general-0")
			},
			warnings: []string{""},
			steps:    []string{"clone prod-general-0-r2 join-worker"},
		},
		{
			reason: "A disk that somebody has enlarged is left as it is.",
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-0", func(m *Machine) { m.DiskGiB = 50 })
			},
			warnings: []string{"/worker_pools/general/disk_gib"},
		},
		{
			reason: "A foreign disk keeps a machine from being destroyed.",
			spec:   withGeneral(func(p *Pool) { p.Count = 2 }),
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-2", func(m *Machine) { m.ForeignDisks = []string{"[ds] data.vmdk"} })
			},
			errors: []string{"/worker_pools/general"},
		},
		{
			reason: "Or replaced: not even the new machine is made.",
			spec:   retemplate,
			world: func(s Spec, o *Observed) {
				onlyWorkersOld(s, o)
				o.remove("prod-general-1", "prod-general-2")
				o.change("prod-general-0", func(m *Machine) { m.ForeignDisks = []string{"[ds] data.vmdk"} })
			},
			errors: []string{"/worker_pools/general"},
			steps:  []string{"clone prod-general-1 join-worker", "clone prod-general-2 join-worker"},
		},
		{
			reason: "It is nobody's business while the machine stays.",
			world: func(_ Spec, o *Observed) {
				o.change("prod-general-2", func(m *Machine) { m.ForeignDisks = []string{"[ds] data.vmdk"} })
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			obs := built(spec)
			if tt.spec != nil {
				tt.spec(&spec)
				facts := factsFor(spec)
				obs.Facts = &facts
			}
			tt.world(spec, &obs)
			plan := MakePlan(spec, obs)
			if diff := cmp.Diff(tt.errors, fields(plan.Problems, SeverityError)); diff != "" {
				t.Errorf("errors -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, fields(plan.Problems, SeverityWarning)); diff != "" {
				t.Errorf("warnings -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tt.steps, tell(plan).Steps); diff != "" {
				t.Errorf("steps -want +got:\n%s", diff)
			}
		})
	}
}
