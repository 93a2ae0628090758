package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlanDelete(t *testing.T) {
	folders := []string{"/dc/vm/k8s", "/dc/vm/k8s/prod"}
	const why = ": it was made for the cluster, and the cluster is destroyed"
	tests := []struct {
		reason   string
		world    func(Spec, *Observed)
		want     told
		errors   int
		warnings int
	}{
		{
			reason: "All machines at once, whatever their state; folders wait.",
			world: func(_ Spec, o *Observed) {
				o.Folder.Created = folders
				o.change("prod-cp-1", off)
				o.change("prod-general-1", booting)
				o.change("prod-general-2", func(m *Machine) { m.Template, m.ConnectionState = "other", "disconnected" })
			},
			want: told{
				Lines: []string{
					"destroy prod-cp-{0,1,2}: the cluster is destroyed", "destroy prod-general-{0,1,2}: the cluster is destroyed",
					"delete folder /dc/vm/k8s/prod" + why, "delete folder /dc/vm/k8s" + why,
				},
				Steps: []string{
					"destroy prod-cp-0", "destroy prod-cp-1", "destroy prod-cp-2",
					"destroy prod-general-0", "destroy prod-general-1", "destroy prod-general-2",
				},
			},
		},
		{
			reason: "Then the innermost folder.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.Folder.Created = nil, folders },
			want: told{
				Lines: []string{"delete folder /dc/vm/k8s/prod" + why, "delete folder /dc/vm/k8s" + why},
				Steps: []string{"delete_folder /dc/vm/k8s/prod"},
			},
		},
		{
			reason: "Then the one around it.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.Folder.Created, o.Folder.Exists = nil, folders, false },
			want: told{
				Lines: []string{"delete folder /dc/vm/k8s" + why}, Steps: []string{"delete_folder /dc/vm/k8s"},
			},
		},
		{
			reason: "A folder that was there before stays, and everything else may be gone already.",
			world:  func(_ Spec, o *Observed) { o.Machines, o.Facts, o.Folder = nil, nil, FolderFacts{} },
		},
		{
			reason: "A folder with somebody else's machine stays.",
			world: func(_ Spec, o *Observed) {
				o.Machines, o.Folder.Created = nil, folders
				o.Folder.TakenNames = map[string]string{"theirs": "/dc/vm/k8s/prod/theirs"}
			},
			warnings: 1,
		},
		{
			reason: "A copy stays, and its folder with it.",
			world: func(_ Spec, o *Observed) {
				o.Machines, o.Folder.Created = o.Machines[:1], folders
				o.Machines[0].UUID = "other"
			},
			warnings: 2,
		},
		{
			reason: "A foreign disk keeps its machine.",
			world: func(_ Spec, o *Observed) {
				o.Machines = o.Machines[:2]
				o.Machines[0].ForeignDisks = []string{"[ds] a.vmdk"}
			},
			want: told{
				Lines: []string{"destroy prod-cp-{0,1}: the cluster is destroyed"}, Steps: []string{"destroy prod-cp-1"},
			},
			errors: 1,
		},
		{
			reason: "A clone in flight is waited for.",
			world: func(s Spec, o *Observed) {
				o.Machines = nil
				o.Running = []Step{*MakePlan(s, *o).Operations[0].Step}
			},
			want: told{Lines: []string{"destroy prod-cp-0: the cluster is destroyed"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			obs := built(spec)
			tt.world(spec, &obs)
			plan := PlanDelete(spec, obs)
			if diff := cmp.Diff(tt.want, tell(plan)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			got := [2]int{len(fields(plan.Problems, SeverityError)), len(fields(plan.Problems, SeverityWarning))}
			if got != [2]int{tt.errors, tt.warnings} {
				t.Errorf("errors and warnings = %v, want %d and %d: %v", got, tt.errors, tt.warnings, plan.Problems)
			}
		})
	}
}
