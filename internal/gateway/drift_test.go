package gateway_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// TestDrift has somebody change a machine outside Terraform: the preview shows the one operation that repairs it, the
// apply does it, and then nothing is left to do.
func TestDrift(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "drift", "")
	for name, pool := range w.a.Spec.WorkerPools {
		pool.Placements = slices.Clone(pool.Placements)
		pool.Placements[0].ResourcePool = "k8s"
		w.a.Spec.WorkerPools[name] = pool
	}
	w.ready("create", all...)
	const worker = "drift-general-1"
	home := *vc.VM(worker)
	for _, test := range []struct {
		reason  string
		drift   func() error
		want    []string
		summary string
	}{
		{
			"a VM that was destroyed", func() error { return vc.DestroyVM(worker) },
			[]string{"clone " + worker},
			"clone drift-general-1 from ubuntu-2404-kube-v1.34.1 (linked: snapshot present, same disk size)",
		},
		{
			"a VM that was switched off", func() error { return vc.PowerOffVM(worker) },
			[]string{"power_on " + worker},
			"power on drift-general-1: it is powered off",
		},
		{
			"more CPUs", func() error { return vc.ResizeVM(worker, 4, 0) },
			[]string{"reconfigure " + worker},
			"reconfigure drift-general-1, 4 -> 2 CPU, after a power cycle: its size differs from the specification",
		},
		{
			"more memory", func() error { return vc.ResizeVM(worker, 0, 8192) },
			[]string{"reconfigure " + worker},
			"reconfigure drift-general-1, 8192 -> 4096 MiB memory, after a power cycle: its size differs from the specification",
		},
		{
			"another folder", func() error { return vc.MoveVM(worker, testkit.FolderLegacy) },
			[]string{"relocate " + worker},
			"move drift-general-1 back to /dc-north/vm/k8s/drift: it was moved outside Terraform",
		},
		{
			"another resource pool", func() error { return vc.MoveVM(worker, testkit.PoolBatch) },
			[]string{"relocate " + worker},
			"move drift-general-1 back to prod-a, k8s, vsan-prod: it was moved outside Terraform",
		},
		{
			"another datastore", func() error { return vc.MoveVM(worker, testkit.DatastoreNFS) },
			[]string{"relocate " + worker},
			"move drift-general-1 back to prod-a, k8s, vsan-prod: it was moved outside Terraform",
		},
		{
			"another compute cluster", func() error { return vc.MoveVM(worker, testkit.ClusterProdB) },
			[]string{"relocate " + worker},
			"move drift-general-1 back to prod-a, k8s, vsan-prod: it was moved outside Terraform",
		},
		{
			"another host of the same compute cluster is no drift", func() error {
				for _, host := range []string{"esx-a1.north.example", "esx-a2.north.example"} {
					if vc.VM(worker).Host != host {
						return vc.MoveVM(worker, testkit.ClusterProdA+"/"+host)
					}
				}
				return nil
			},
			[]string{},
			"",
		},
	} {
		if err := test.drift(); err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		vc.ResetCalls()
		preview := w.preview()
		if diff := cmp.Diff(test.want, kinds(preview)); diff != "" {
			t.Errorf("%s: operations (-want +got): %s", test.reason, diff)
		}
		if got := strings.Join(preview.Summary, "\n"); got != test.summary {
			t.Errorf("%s: the plan says\n%s\nwant\n%s", test.reason, got, test.summary)
		}
		if diff := cmp.Diff(preview, w.preview()); diff != "" {
			t.Errorf("%s: two previews differ: %s", test.reason, diff)
		}
		if calls := mutating(vc.Calls()); len(calls) > 0 {
			t.Errorf("%s: a preview calls %q", test.reason, calls)
		}
		w.ready(test.reason, all...)
		now := vc.VM(worker)
		if now.Folder != home.Folder || now.ResourcePool != home.ResourcePool || now.Datastore != home.Datastore ||
			now.CPU != home.CPU || now.MemoryMiB != home.MemoryMiB || now.Power != home.Power {
			t.Errorf("%s: the machine was\n%+v\nand is\n%+v", test.reason, home, *now)
		}
	}
	w.destroyed("drifted and repaired")
}

// TestNothingToDo applies what is there already.
func TestNothingToDo(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "still", "")
	w.ready("create", all...)
	vc.ResetCalls()
	w.ready("apply the same again", all...)
	status, err := w.hub.client.Observe(t.Context(), w.a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.a.Status, status); diff != "" {
		t.Errorf("observing a cluster at rest gives another status (-kept +observed): %s", diff)
	}
	if calls := mutating(vc.Calls()); len(calls) > 0 {
		t.Errorf("an apply of what is there already calls %q", calls)
	}
}

// TestCopies has a backup tool copy a machine: the copy is reported, and left alone by an update and by a delete.
func TestCopies(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "copied", "")
	w.ready("create", all...)
	if err := vc.CopyVM("copied-general-0", "copied-general-0-backup"); err != nil {
		t.Fatal(err)
	}
	backup := vc.VM("copied-general-0-backup").Path
	w.others = append(w.others, backup)
	preview := w.preview()
	if len(preview.Operations) > 0 {
		t.Errorf("a copy is no reason to do anything: %q", preview.Summary)
	}
	if len(preview.Problems) != 1 || !strings.Contains(preview.Problems[0].Message, backup) {
		t.Errorf("the preview does not name the copy: %+v", preview.Problems)
	}
	w.workers(1)
	w.ready("scale in beside a copy", "cp-0", "general-0")
	if !slices.ContainsFunc(w.a.Status.Machines, func(m hubapi.Machine) bool {
		return m.Name == path.Base(backup) && m.State == "copy"
	}) {
		t.Errorf("the status does not show the copy: %+v", w.a.Status.Machines)
	}
	w.a.Spec.NTPServers = []string{"10.0.0.5"}
	w.ready("replace beside a copy", "cp-0-r2", "general-0-r2")
	w.destroyed("delete beside a copy")
	if !vc.VM(backup).Exists {
		t.Error("the copy is gone")
	}
}

// TestLostControlPlane has the only control plane machine destroyed: the plan says why nothing can be done and promises
// nothing, the apply does nothing, and a delete clears up.
func TestLostControlPlane(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "lost", "")
	w.ready("create", all...)
	if err := vc.DestroyVM("lost-cp-0"); err != nil {
		t.Fatal(err)
	}
	w.workers(3)
	preview := w.preview()
	if len(preview.Summary) > 0 {
		t.Errorf("a preview promises what the apply refuses: %q", preview.Summary)
	}
	if len(preview.Problems) != 1 || preview.Problems[0].Field != "/control_plane" {
		t.Errorf("the preview does not say that the control plane is lost: %+v", preview.Problems)
	}
	w.failed("apply to a lost cluster", "none of the control plane's machines is left")
	w.has("apply to a lost cluster", all[1:]...)
	w.destroyed("delete a lost cluster")
}
