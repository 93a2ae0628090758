package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const generalPlace = "/worker_pools/general/placements/0"

// pooled gives every machine a static address.
func pooled(s *Spec) {
	s.ControlPlane.Placements[0].IPPoolID = "pool-1"
	withGeneral(func(p *Pool) { p.Placements[0].IPPoolID = "pool-1" })(s)
}

func TestCheck(t *testing.T) {
	place := func(change func(*PlacementFacts)) func(*Observed) {
		return func(o *Observed) { change(&o.Facts.Placements["general"][0]) }
	}
	addresses := func(free int, held map[string]string) func(*Observed) {
		return func(o *Observed) {
			o.Facts.AddressPools = map[string]AddressPoolFacts{"pool-1": {Name: "nodes", Free: free, HeldBy: held}}
		}
	}
	tests := []struct {
		reason string
		spec   func(*Spec)
		world  func(*Observed)
		// built keeps the machines of the spec, so that nothing is to be made.
		built bool
		want  []string
		says  string
	}{
		{reason: "What is needed is there.", world: func(*Observed) {}},
		{
			reason: "A datacenter that does not exist hides all else.",
			world: func(o *Observed) {
				*o.Facts = Facts{NearDatacenters: []string{"dc-north"}}
			},
			want: []string{"/datacenter"}, says: `datacenter "dc" does not exist; there is dc-north`,
		},
		{
			reason: "A missing template, with names like it.",
			world: func(o *Observed) {
				o.Facts.Template, o.Facts.NearTemplates = nil, []string{"/dc/vm/ubuntu-2404-kube-1.34.2"}
			},
			want: []string{"/template"}, says: "ubuntu-2404-kube-1.34.2",
		},
		{
			reason: "A template's name that fits two.",
			world: func(o *Observed) {
				o.Facts.Template, o.Facts.AmbiguousTemplates = nil, []string{"/dc/vm/a/t", "/dc/vm/b/t"}
			},
			want: []string{"/template"}, says: "/dc/vm/a/t, /dc/vm/b/t",
		},
		{
			reason: "A template of another version.",
			world:  func(o *Observed) { o.Facts.Template.KubernetesVersion = "v1.33.2" },
			want:   []string{"/template"}, says: "template has v1.33.2, cluster wants v1.34.1",
		},
		{
			reason: "A template is not asked for anything when nothing is made of it.",
			world:  func(o *Observed) { o.Facts.Template = nil },
			built:  true,
		},
		{
			reason: "Disks are at least as large as the template's.",
			spec:   withGeneral(func(p *Pool) { p.DiskGiB = 10 }),
			world:  func(*Observed) {},
			want:   []string{"/worker_pools/general/disk_gib"}, says: "smaller than the template's 20 GiB",
		},
		{
			reason: "Linked clones where they cannot be, once for each reason.",
			spec: func(s *Spec) {
				s.CloneMode = CloneLinked
				withGeneral(func(p *Pool) { p.DiskGiB = 30 })(s)
			},
			world: func(*Observed) {},
			want:  []string{"/clone_mode"}, says: "machines of pool general cannot be linked clones: disk grows from 20 to 30 GiB",
		},
		{
			reason: "A compute cluster that does not exist hides what is looked for in it.",
			world:  place(func(p *PlacementFacts) { *p = PlacementFacts{ComputeCluster: Lookup{Near: []string{"cl-b"}}} }),
			want:   []string{generalPlace + "/compute_cluster"}, says: `compute cluster "cl-a" does not exist; there is cl-b`,
		},
		{
			reason: "A compute cluster without hosts.",
			world:  place(func(p *PlacementFacts) { p.HostsUsable = 0 }),
			want:   []string{generalPlace + "/compute_cluster"}, says: "no host",
		},
		{
			reason: "Each missing object on its attribute.",
			spec:   withGeneral(func(p *Pool) { p.Placements[0].ResourcePool = "rp" }),
			world: place(func(p *PlacementFacts) {
				p.ResourcePool, p.Datastore = Lookup{}, Lookup{}
				p.Networks[0] = Lookup{Ambiguous: true, Near: []string{"/dc/network/a/net", "/dc/network/b/net"}}
			}),
			want: []string{generalPlace + "/resource_pool", generalPlace + "/datastore", generalPlace + "/networks/0"},
		},
		{
			reason: "A datastore in maintenance.",
			world: place(func(p *PlacementFacts) {
				p.DatastoreReachable, p.DatastoreState = false, "in maintenance mode"
			}),
			want: []string{generalPlace + "/datastore"}, says: "in maintenance mode",
		},
		{
			reason: "Full clones count in full.",
			spec:   func(s *Spec) { s.CloneMode = CloneFull },
			world: func(o *Observed) {
				o.Facts.Placements[ControlPlanePool][0].FreeGiB = 119
				o.Facts.Placements["general"][0].FreeGiB = 119
			},
			want: []string{"/control_plane/placements/0/datastore"}, says: "119 GiB free, 6 machines need 120 GiB",
		},
		{
			reason: "Linked ones hardly.",
			world: func(o *Observed) {
				o.Facts.Placements[ControlPlanePool][0].FreeGiB = 6
				o.Facts.Placements["general"][0].FreeGiB = 6
			},
		},
		{
			reason: "An address pool that does not exist.",
			spec:   withGeneral(func(p *Pool) { p.Placements[0].IPPoolID = "gone" }),
			world:  func(*Observed) {},
			want:   []string{generalPlace + "/ip_pool_id"},
		},
		{
			reason: "Too few addresses.",
			spec:   pooled, world: addresses(5, nil),
			want: []string{"/control_plane/placements/0/ip_pool_id"}, says: "pool nodes has 5 free addresses, 6 are needed",
		},
		{
			reason: "Addresses that are leased already are not needed again.",
			spec:   pooled,
			world: addresses(5, map[string]string{
				Identity{Gateway: "gw", Cluster: "c1", Pool: "general", Ordinal: 1, Generation: 1}.InstanceUUID(): "10.0.0.7",
			}),
		},
		{
			reason: "A name that somebody else has.",
			world: func(o *Observed) {
				o.Folder.TakenNames = map[string]string{
					"prod-general-1": "/dc/vm/k8s/prod/prod-general-1", "other": "/dc/vm/k8s/prod/other",
				}
			},
			want: []string{"/name"}, says: "/dc/vm/k8s/prod/prod-general-1",
		},
		{
			reason: "A name that a folder has.",
			world: func(o *Observed) {
				o.Folder.Subfolders = map[string]string{
					"prod-general-1": "/dc/vm/k8s/prod/prod-general-1", "other": "/dc/vm/k8s/prod/other",
				}
			},
			want: []string{"/name"}, says: "taken by the folder /dc/vm/k8s/prod/prod-general-1",
		},
		{
			reason: "An endpoint that somebody else has, or may get.",
			world: func(o *Observed) {
				addresses(9, map[string]string{"somebody": "10.0.0.100"})(o)
				o.Facts.UsedAddresses = map[string]string{"10.0.0.100": "old-lb"}
			},
			want: []string{"/control_plane_endpoint/host", "/control_plane_endpoint/host"}, says: "in use by old-lb",
		},
		{
			reason: "Afterwards the cluster itself answers there.",
			spec:   withGeneral(func(p *Pool) { p.Count = 4 }),
			world:  func(o *Observed) { o.Facts.UsedAddresses = map[string]string{"10.0.0.100": "prod-cp-0"} },
			built:  true,
		},
		{
			reason: "Where a machine is to go back to is looked at.",
			world: func(o *Observed) {
				o.change("prod-general-0", func(m *Machine) { m.Datastore = "/dc/datastore/other" })
				o.Facts.Placements["general"][0].DatastoreReachable = false
			},
			built: true,
			want:  []string{generalPlace + "/datastore"},
		},
		{
			reason: "The names of a placement have to be right before it gets its first machine.",
			spec: withGeneral(func(p *Pool) {
				p.Count = 1
				p.Placements = append(p.Placements, place1("nowhere", "nowhere"))
			}),
			world: func(o *Observed) { o.Facts.Placements["general"][1] = PlacementFacts{} },
			want:  []string{"/worker_pools/general/placements/1/compute_cluster"}, says: `"nowhere" does not exist`,
		},
		{
			reason: "Without facts nothing is judged.",
			world:  func(o *Observed) { o.Facts = nil },
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			obs := built(spec)
			if tt.spec != nil {
				tt.spec(&spec)
			}
			facts := factsFor(spec)
			obs.Facts = &facts
			if !tt.built {
				obs.Machines = nil
			}
			tt.world(&obs)
			problems := Check(spec, obs)
			if diff := cmp.Diff(tt.want, fields(problems, SeverityError)); diff != "" {
				t.Errorf("-want +got:\n%s\n%v", diff, problems)
			}
			if len(problems) > 0 && !strings.Contains(problems[0].Message, tt.says) {
				t.Errorf("says %q, want %q in it", problems[0].Message, tt.says)
			}
		})
	}
}

func TestCheckWarnsOfUnknownVersion(t *testing.T) {
	spec := validSpec()
	obs := built(spec)
	obs.Machines = nil
	obs.Facts.Template.KubernetesVersion = ""
	if diff := cmp.Diff([]string{"/template"}, fields(Check(spec, obs), SeverityWarning)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSurgeNeed(t *testing.T) {
	tests := []struct {
		reason string
		change func(*Spec)
		world  func(*Observed)
		want   map[string]int
	}{
		{"Nothing is made.", func(*Spec) {}, func(*Observed) {}, map[string]int{}},
		{
			"Everything is made.",
			func(*Spec) {},
			func(o *Observed) { o.Machines = nil },
			map[string]int{"pool-1": 6},
		},
		{"A rolling replacement needs its surge.", retemplate, func(*Observed) {}, map[string]int{"pool-1": 2}},
		{
			"Workers replaced without surge need none.",
			func(s *Spec) { strategy(0, 1)(s); retemplate(s) },
			func(*Observed) {},
			map[string]int{"pool-1": 1},
		},
		{
			"New machines come on top.",
			func(s *Spec) {
				retemplate(s)
				withGeneral(func(p *Pool) { p.Count, p.UpdateStrategy.MaxSurge = 5, 2 })(s)
			},
			func(*Observed) {},
			map[string]int{"pool-1": 5},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			pooled(&spec)
			obs := built(spec)
			tt.change(&spec)
			facts := factsFor(spec)
			obs.Facts = &facts
			tt.world(&obs)
			if diff := cmp.Diff(tt.want, SurgeNeed(spec, obs)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
