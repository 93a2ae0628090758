package gateway_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

const cloneMethod = "CloneVM_Task"

// all are the machines of a world's cluster as it is created.
var all = []string{"cp-0", "general-0", "general-1"}

// TestPassingFaults has vCenter fail in ways that pass: the apply goes on by itself and makes each machine once.
func TestPassingFaults(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	for name, test := range map[string]struct {
		reason string
		rule   testkit.FaultRule
		says   string
	}{
		"busy": {
			"a template that is busy is asked again",
			testkit.FaultRule{Method: cloneMethod, Object: "busy-general-0", Fault: &types.TaskInProgress{}},
			"clone busy-general-0 will be tried again",
		},
		"comm": {
			"a clone whose host is lost for a moment is made again",
			testkit.FaultRule{Method: cloneMethod, Object: "comm-cp-0", Fault: &types.HostCommunication{}, AsTask: true},
			"clone comm-cp-0 will be tried again",
		},
		"folder": {
			"a folder that cannot be made at first is made then",
			testkit.FaultRule{Method: "CreateFolder", Object: "folder", Fault: &types.ConcurrentAccess{}},
			"create folder /dc-north/vm/k8s/folder will be tried again",
		},
		"finish": {
			"secrets that cannot be cleared at first are cleared then",
			testkit.FaultRule{Method: "ReconfigVM_Task", Object: "finish-cp-0", Fault: &types.TaskInProgress{}, AsTask: true},
			"clear bootstrap secrets of finish-cp-0 will be tried again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vc, name, "")
			defer vc.ClearFaults()
			vc.Fail(test.rule)
			w.ready(test.reason, all...)
			if said := w.said(); !strings.Contains(said, test.says) {
				t.Errorf("%s: nobody was told %q:\n%s", test.reason, test.says, said)
			}
			w.destroyed(test.reason)
		})
	}
}

// TestKilledSession ends the session in the middle of a clone, of a wait, and of a destroy.
func TestKilledSession(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "killed", "")
	w.preview() // logs in
	for _, step := range []struct{ reason, method string }{
		{"a session that ends before a clone", cloneMethod},
		{"a session that ends before a destroy", "Destroy_Task"},
	} {
		var done atomic.Bool
		vc.OnCall(func(method string, _ int) error {
			if method == step.method && done.CompareAndSwap(false, true) {
				vc.KillSessions()
			}
			return nil
		})
		logins := vc.LoginAttempts()
		if step.method == cloneMethod {
			w.ready(step.reason, all...)
		} else {
			w.destroyed(step.reason)
		}
		vc.OnCall(nil)
		if !done.Load() {
			t.Errorf("%s: %s was never called", step.reason, step.method)
		}
		if n := vc.LoginAttempts() - logins; n != 1 {
			t.Errorf("%s: %d logins, want one", step.reason, n)
		}
	}
}

// TestLastingFaults has vCenter refuse one worker: the apply ends and says why, what is made stays, and the next apply
// makes the rest once the cause has gone.
func TestLastingFaults(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	template := types.ManagedObjectReference{Type: "VirtualMachine", Value: vc.VM(testkit.Template134).Moid}
	for name, test := range map[string]struct {
		reason string
		fault  types.BaseMethodFault
		asTask bool
		says   []string
	}{
		"full": {
			"a datastore that has filled up", &types.NoDiskSpace{Datastore: "vsan-prod"}, true,
			[]string{"clone full-general-1", "NoDiskSpace", "vsan-prod"},
		},
		"memory": {
			"hosts without the memory", &types.InsufficientMemoryResourcesFault{Unreserved: 1 << 30, Requested: 4 << 30}, true,
			[]string{"clone memory-general-1", "InsufficientMemoryResourcesFault", "4096 MiB", "1024 MiB"},
		},
		"cpu": {
			"hosts without the CPU", &types.InsufficientCpuResourcesFault{Unreserved: 200, Requested: 4000}, true,
			[]string{"clone cpu-general-1", "InsufficientCpuResourcesFault", "4000 MHz", "200 MHz"},
		},
		"room": {
			"resources without numbers", &types.InsufficientResourcesFault{}, true,
			[]string{"clone room-general-1", "InsufficientResourcesFault"},
		},
		"denied": {
			"a privilege that is missing after all",
			&types.NoPermission{Object: &template, PrivilegeId: "VirtualMachine.Provisioning.DeployTemplate"}, false,
			[]string{"clone denied-general-1", "VirtualMachine.Provisioning.DeployTemplate", testkit.Template134, "Grant"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vc, name, "")
			defer vc.ClearFaults()
			vc.Fail(testkit.FaultRule{
				Method: cloneMethod, Object: name + "-general-1", Count: -1, Fault: test.fault, AsTask: test.asTask,
			})
			message := w.failed(test.reason, test.says...).Message
			if n := strings.Count(message, "clone "+name+"-general-1"); n != 1 {
				t.Errorf("%s: the message names the step %d times: %s", test.reason, n, message)
			}
			w.has(test.reason, "cp-0", "general-0")
			vc.ClearFaults()
			w.ready(test.reason+", and then mended", all...)
			w.destroyed(test.reason)
		})
	}
}

// TestForeignNames has somebody else hold the name of a machine.
func TestForeignNames(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	for name, test := range map[string]struct {
		reason string
		late   bool
		has    []string
	}{
		"taken": {"a name that is taken is seen before anything is made", false, nil},
		"race":  {"a name that is taken while the apply runs is left to its holder", true, []string{"cp-0", "general-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vc, name, "")
			w.a.Spec.Folder = "k8s"
			foreign := testkit.FolderK8s + "/" + name + "-general-1"
			take := func() {
				if err := vc.CreateForeignVM(testkit.FolderK8s, name+"-general-1"); err != nil {
					t.Error(err)
				}
			}
			if test.late {
				var done atomic.Bool
				vc.OnCall(func(method string, _ int) error {
					if method == cloneMethod && done.CompareAndSwap(false, true) {
						take()
					}
					return nil
				})
				defer vc.OnCall(nil)
			} else {
				take()
			}
			status := w.failed(test.reason, foreign)
			if !test.late && (len(status.Problems) != 1 || status.Problems[0].Field != "/name") {
				t.Errorf("%s: problems %+v, want one on the name", test.reason, status.Problems)
			}
			before := vc.VM(foreign)
			w.others = append(w.others, foreign)
			w.has(test.reason, test.has...)
			w.destroyed(test.reason)
			if after := vc.VM(foreign); after.InstanceUUID != before.InstanceUUID || len(after.Disks) != len(before.Disks) {
				t.Errorf("%s: the foreign VM was %+v and is %+v", test.reason, before, after)
			}
			if err := vc.DestroyVM(foreign); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGoneBeforeApply takes away what the preview has seen.
func TestGoneBeforeApply(t *testing.T) {
	for name, test := range map[string]struct {
		reason string
		away   func(*testkit.VCenter) error
		field  string
		says   string
	}{
		"template": {
			"a template that is deleted after the preview",
			func(vc *testkit.VCenter) error { return vc.DestroyTemplate(testkit.Template134) },
			"/template", `template "ubuntu-2404-kube-v1.34.1" does not exist`,
		},
		"datastore": {
			"a datastore that goes into maintenance after the preview",
			func(vc *testkit.VCenter) error { return vc.SetMaintenance(testkit.DatastoreVSAN) },
			"/control_plane/placements/0/datastore", "maintenance",
		},
	} {
		t.Run(name, func(t *testing.T) {
			vc := testkit.Start(t, testkit.Options{})
			w := newWorld(t, vc, name, "")
			if preview := w.preview(); len(preview.Problems) > 0 {
				t.Fatalf("%s: it is not there yet and the preview has problems: %+v", test.reason, preview.Problems)
			}
			if err := test.away(vc); err != nil {
				t.Fatal(err)
			}
			status := w.failed(test.reason, test.says)
			if len(status.Problems) == 0 || status.Problems[0].Field != test.field {
				t.Errorf("%s: problems %+v, want one on %s", test.reason, status.Problems, test.field)
			}
			w.has(test.reason)
			w.destroyed(test.reason)
		})
	}
}

// TestBrokenConnections breaks the way to vCenter while machines are cloned.
func TestBrokenConnections(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{CloneDelay: 50 * time.Millisecond})
	for name, test := range map[string]struct {
		reason string
		// before and after run at the second clone call, before and after vCenter has done it.
		before, after func(*testkit.Proxy)
	}{
		"cut":     {reason: "connections cut before a clone", before: (*testkit.Proxy).Cut},
		"lost":    {reason: "connections cut after a clone was begun", after: (*testkit.Proxy).Cut},
		"swallow": {reason: "the answer of a clone swallowed", before: (*testkit.Proxy).SwallowNextResponse},
		"stall": {reason: "two seconds of silence", after: func(proxy *testkit.Proxy) {
			proxy.Stall()
			time.AfterFunc(2*time.Second, proxy.Resume)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := vc.Proxy(t)
			w := newWorld(t, vc, name, proxy.Host())
			var calls, answers atomic.Int32
			hook := func(counter *atomic.Int32, do func(*testkit.Proxy)) func(string, int) error {
				return func(method string, _ int) error {
					if do != nil && method == cloneMethod && counter.Add(1) == 2 {
						do(proxy)
					}
					return nil
				}
			}
			vc.OnCall(hook(&calls, test.before))
			vc.AfterCall(hook(&answers, test.after))
			defer vc.OnCall(nil)
			defer vc.AfterCall(nil)
			w.ready(test.reason, all...)
			w.destroyed(test.reason)
		})
	}
}

// TestFailingGuests has guests give up: the apply says in which phase and what the log said, and the next one makes
// another machine in its place.
func TestFailingGuests(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	for name, test := range map[string]struct {
		reason string
		guest  string
		phase  string
		fails  []string
	}{
		"wfail": {
			"a worker that fails", "general-0", "preflight",
			[]string{"cp-0", "general-0", "general-1"},
		},
		"cfail": {
			"the first machine fails before anyone has joined", "cp-0", "certs",
			[]string{"cp-0"},
		},
		"nfail": {
			"a machine whose network fails", "general-1", "net",
			[]string{"cp-0", "general-0", "general-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vc, name, "")
			vc.Guest(name+"-"+test.guest, testkit.Behaviour{FailAt: test.phase, LogTail: "the log's last words"})
			status := w.failed(test.reason, name+"-"+test.guest, "phase "+test.phase, "the log's last words")
			w.has(test.reason, test.fails...)
			if status.Ready {
				t.Errorf("%s: the cluster counts as ready", test.reason)
			}
			again := test.reason + " again"
			vc.ResetCalls()
			w.failed(again, name+"-"+test.guest, "phase "+test.phase, "the log's last words")
			w.has(again, test.fails...)
			if n := vc.Calls()[cloneMethod]; n != 1 {
				t.Errorf("%s: %d machines were made in its place, want one", again, n)
			}
			vc.Guest(name+"-"+test.guest, testkit.Behaviour{})
			w.ready(test.reason+", and then mended", all...)
			w.destroyed(test.reason)
		})
	}
}

// TestHangingGuest deletes a cluster of which a machine boots for ever.
func TestHangingGuest(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "hangs", "")
	vc.Guest("hangs-general-0", testkit.Behaviour{HangAt: "preflight"})
	w.assign()
	report := w.hub.awaitUntil(t, w.a.ID, "the other worker is ready and the hanging one boots", func() bool {
		states := map[string]string{}
		for _, m := range w.hub.clusters[w.a.ID].Status.Machines {
			states[m.Name] = m.State
		}
		return states["hangs-general-1"] == "ready" && states["hangs-general-0"] == "booting"
	})
	if report.Status.Phase != hubapi.PhaseProvisioning {
		t.Errorf("phase %s while a machine boots", report.Status.Phase)
	}
	w.destroyed("a machine that hangs is no obstacle to a delete")
}
