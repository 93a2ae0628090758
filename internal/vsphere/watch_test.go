package vsphere

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func mustWatch(t *testing.T, s *Session, at Target) *Watch {
	t.Helper()
	w, err := s.Watch(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// eventually waits for the mirror to fit.
func eventually(t *testing.T, w *Watch, reason string, fits func(cluster.FolderFacts, []cluster.Machine) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !fits(w.Machines()) {
		select {
		case <-w.Changed():
		case <-ctx.Done():
			facts, machines := w.Machines()
			t.Fatalf("%s: the mirror shows %+v, %+v, error %v", reason, facts, machines, w.Err())
		}
	}
}

func count(n int) func(cluster.FolderFacts, []cluster.Machine) bool {
	return func(_ cluster.FolderFacts, machines []cluster.Machine) bool { return len(machines) == n }
}

func TestWatchFollows(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	w := mustWatch(t, s, target())
	if facts, machines := w.Machines(); facts.Exists || len(machines) != 0 {
		t.Errorf("without a folder the mirror shows %+v, %v", facts, machines)
	}
	mustFolder(t, s)
	eventually(t, w, "a folder made by the session is picked up", func(f cluster.FolderFacts, _ []cluster.Machine) bool {
		return f.Exists
	})
	r := request(0)
	moid := mustClone(t, s, r)
	eventually(t, w, "a new machine enters", count(1))

	other := openSession(t, vc)
	joined := map[string]string{cluster.JoinedKey: r.Owner.InstanceUUID()}
	if err := other.SetExtraConfig(t.Context(), moid, joined); err != nil {
		t.Fatal(err)
	}
	eventually(t, w, "a key written by another session", func(_ cluster.FolderFacts, m []cluster.Machine) bool {
		return len(m) == 1 && m[0].Joined
	})
	facts, machines, err := other.Machines(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	mirroredFacts, mirrored := w.Machines()
	if diff := cmp.Diff(machines, mirrored, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the mirror differs from a read: -read, +mirror:\n%s", diff)
	}
	if diff := cmp.Diff(facts, mirroredFacts); diff != "" {
		t.Errorf("the mirror's folder differs from a read: -read, +mirror:\n%s", diff)
	}
	if err := other.Destroy(t.Context(), moid, r.Owner.Identity); err != nil {
		t.Fatal(err)
	}
	eventually(t, w, "a destroyed machine leaves", count(0))
	if err := s.DeleteFolder(t.Context(), "/dc-north/vm/k8s/prod"); err != nil {
		t.Fatal(err)
	}
	eventually(t, w, "a deleted folder is noticed", func(f cluster.FolderFacts, _ []cluster.Machine) bool {
		return !f.Exists
	})
}

func TestWatchSurvivesLostSession(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	w := mustWatch(t, s, target())
	killSession(t, s)
	mustClone(t, s, request(0))
	eventually(t, w, "after the session was lost", count(1))
	eventually(t, w, "the error goes", func(cluster.FolderFacts, []cluster.Machine) bool { return w.Err() == nil })
}

func TestWatchSeesMovedMachine(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	w := mustWatch(t, s, target())
	to, err := s.findPlace(t.Context(), "dc-north", "legacy/apps")
	if err != nil {
		t.Fatal(err)
	}
	err = s.run(t.Context(), "move", "", func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.MoveIntoFolder_Task(ctx, s.vim, &types.MoveIntoFolder_Task{
			This: *to.folder, List: []types.ManagedObjectReference{{Type: typeVM, Value: moid}},
		})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, w, "a machine that was moved away", func(_ cluster.FolderFacts, m []cluster.Machine) bool {
		return len(m) == 1 && !m[0].InFolder && m[0].Path == "/dc-north/vm/legacy/apps/prod-general-0"
	})
}

func TestWatchAmbiguousDatacenterFails(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	s.cache.tree = nil
	w, err := s.Watch(t.Context(), Target{Datacenter: "no-such", Folder: "x"})
	if err != nil {
		t.Fatalf("a missing datacenter is no error: %v", err)
	}
	w.Close()
	if err := w.Refresh(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("refreshing a closed watch: %v, want ErrClosed", err)
	}
}

// TestMachineBudget counts what machines cost once the session knows the inventory: clone, wait, finish.
func TestMachineBudget(t *testing.T) {
	tests := map[string]struct {
		reason   string
		machines int
		watched  bool
		most     int
	}{
		"One":        {reason: "one machine", machines: 1, most: 6},
		"OneWatched": {reason: "one machine under a watch", machines: 1, watched: true, most: 6},
		"Many":       {reason: "fifty machines, four calls each", machines: 50, most: 200},
		// The simulator reads every watched machine again at every change of any object, so not fifty.
		"ManyWatched": {reason: "machines under a watch, four calls each", machines: 8, watched: true, most: 32},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := openPaced(t, testkit.Start(t, testkit.Options{}), 100*time.Millisecond)
			mustFolder(t, s)
			warm := request(1000).linkedTo("vsan-prod")
			mustClone(t, s, warm)
			if tc.watched {
				w := mustWatch(t, s, target())
				eventually(t, w, "the mirror is filled", count(1))
				settleDown(t, s)
			}
			counted := countCalls(s)
			makeMachines(t, s, tc.machines)
			settleDown(t, s)
			if got := len(counted.seen()); got > tc.most {
				t.Errorf("%s: %d calls, want at most %d: %v", tc.reason, got, tc.most, tally(counted.seen()))
			} else {
				t.Logf("%d machines: %d calls: %v", tc.machines, got, tally(counted.seen()))
			}
		})
	}
}

// settleDown waits until the update loop has taken what is on its way.
func settleDown(t *testing.T, s *Session) {
	t.Helper()
	if err := pause(t.Context(), 3*s.config.Pace); err != nil {
		t.Fatal(err)
	}
}

func makeMachines(t *testing.T, s *Session, n int) {
	t.Helper()
	limit := make(chan struct{}, 8)
	failed := make(chan error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			r := request(i).linkedTo("vsan-prod")
			moid, err := s.Clone(t.Context(), r)
			if err == nil {
				err = s.SetExtraConfig(t.Context(), moid, map[string]string{
					cluster.JoinedKey: r.Owner.InstanceUUID(), "guestinfo.userdata": "",
				})
			}
			if err != nil {
				failed <- fmt.Errorf("machine %d: %w", i, err)
			}
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

func tally(names []string) map[string]int {
	counts := map[string]int{}
	for _, name := range names {
		counts[name]++
	}
	return counts
}

func TestCancelledWaitIsNoSuccess(t *testing.T) {
	_, s := openKit(t, testkit.Options{CloneDelay: 300 * time.Millisecond})
	mustFolder(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if moid, err := s.Clone(ctx, request(0)); err == nil {
		t.Errorf("a clone whose wait was cancelled returned %q without an error", moid)
	}
	if moid, err := s.Clone(t.Context(), request(0)); err != nil || moid == "" {
		t.Errorf("the clone after it: %q, %v, want the machine that was being made", moid, err)
	}
}
