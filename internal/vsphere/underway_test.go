package vsphere

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// abandon starts a clone in a session and gives up waiting for it once its task runs.
func abandon(t *testing.T, vc *testkit.VCenter, s *Session, r CloneRequest) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vc.AfterCall(func(method string, _ int) error {
		if method == "CloneVM_Task" {
			cancel()
		}
		return nil
	})
	defer vc.AfterCall(nil)
	if _, err := s.Clone(ctx, r); !errors.Is(err, context.Canceled) {
		t.Fatalf("an abandoned clone: %v, want it cancelled", err)
	}
}

func TestAwaitClones(t *testing.T) {
	const delay = time.Second
	vc, first := openKit(t, testkit.Options{CloneDelay: delay})
	mustFolder(t, first)
	second := openSession(t, vc)
	cases := []struct {
		reason string
		before func()
		user   string
		calls  map[string]int
		exists bool
	}{
		{reason: "nothing has ever run", calls: map[string]int{"RetrievePropertiesEx": 1}},
		{
			reason: "another user's clone runs", before: func() { abandon(t, vc, first, request(0)) }, user: `OTHER\user`,
			calls: map[string]int{"RetrievePropertiesEx": 1},
		},
		{reason: "a clone of another session runs", exists: true},
		{reason: "all clones are over", calls: map[string]int{"RetrievePropertiesEx": 1}, exists: true},
	}
	mine, _ := second.user.Load().(string)
	for _, c := range cases {
		if c.before != nil {
			c.before()
		}
		if second.user.Store(mine); c.user != "" {
			second.user.Store(c.user)
		}
		vc.ResetCalls()
		if err := second.AwaitClones(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		if exists := vc.VM(request(0).Name).Exists; exists != c.exists {
			t.Errorf("%s: the machine exists afterwards: %t, want %t", c.reason, exists, c.exists)
		}
		if diff := cmp.Diff(c.calls, vc.Calls()); c.calls != nil && diff != "" {
			t.Errorf("%s: calls: -want, +got:\n%s", c.reason, diff)
		}
	}
}

func TestAwaitClonesEnds(t *testing.T) {
	vc, first := openKit(t, testkit.Options{CloneDelay: time.Hour})
	mustFolder(t, first)
	abandon(t, vc, first, request(0))
	cases := []struct {
		reason string
		wait   func(context.Context, *Session) error
	}{
		{"waiting for all clones", func(ctx context.Context, s *Session) error { return s.AwaitClones(ctx) }},
		{"making the machine that is being made", func(ctx context.Context, s *Session) error {
			_, err := s.Clone(ctx, request(0))
			return err
		}},
	}
	for _, c := range cases {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := c.wait(ctx, openSession(t, vc))
		cancel()
		if !errors.Is(err, errBeingMade) || Classify(err) != ClassRetry {
			t.Errorf("%s: %v (%s), want a clone still running, to be tried again", c.reason, err, Classify(err))
		}
	}
}

// TestSecondWaitForATask waits for a task that the update loop knows to be over, while something else keeps it going.
func TestSecondWaitForATask(t *testing.T) {
	vc, s := openKit(t, testkit.Options{CloneDelay: 100 * time.Millisecond})
	mustFolder(t, s)
	mustWatch(t, s, target())
	abandon(t, vc, s, request(0))
	tasks, err := s.runningClones(t.Context())
	if err != nil || len(tasks) != 1 {
		t.Fatalf("running clones: %v, %v, want one", tasks, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, reason := range []string{"while it runs", "when it is over"} {
		if _, err := s.awaitTask(ctx, tasks[0].ref); err != nil {
			t.Errorf("waiting for a task %s: %v", reason, err)
		}
	}
}

func TestFailedCloneIsOver(t *testing.T) {
	vc, first := openKit(t, testkit.Options{CloneDelay: 300 * time.Millisecond})
	mustFolder(t, first)
	vc.Fail(testkit.FaultRule{Method: "CloneVM_Task", Fault: &types.NoDiskSpace{}, AsTask: true})
	abandon(t, vc, first, request(0))
	if err := openSession(t, vc).AwaitClones(t.Context()); err != nil {
		t.Errorf("waiting for a clone that fails: %v", err)
	}
}

func TestAdoptAfterLongClone(t *testing.T) {
	vc, first := openKit(t, testkit.Options{CloneDelay: 3 * time.Second})
	mustFolder(t, first)
	abandon(t, vc, first, request(0))
	second := openSession(t, vc)
	moid := mustClone(t, second, request(0))
	_, machines, err := second.Machines(t.Context(), target())
	if err != nil || len(machines) != 1 || machines[0].Moid != moid {
		t.Errorf("machines after the second clone: %+v, %v, want %s only", machines, err, moid)
	}
}

// TestVMWithoutConfig shows a VM that is in the inventory before it has a configuration.
func TestVMWithoutConfig(t *testing.T) {
	vc := startSimulator(t, nil)
	s := vc.open(t)
	registry := vc.model.Service.Context.Map
	vm := registry.Any(typeVM).(*simulator.VirtualMachine)
	configure := func(uuid string) {
		caller := *vc.model.Service.Context
		caller.WithLock(vm, func() {
			caller.Update(vm, []types.PropertyChange{{Name: "config.instanceUuid", Val: uuid}})
		})
	}
	configure("")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.adopt(ctx, request(0), vm.Self); !errors.Is(err, errBeingMade) || Classify(err) != ClassRetry {
		t.Errorf("a VM without configuration: %v (%s), want a clone still running", err, Classify(err))
	}
	looked := make(chan struct{}, 1)
	countCalls(s).failBy(func(name string) error {
		if name == "ModifyListView" {
			select {
			case looked <- struct{}{}:
			default:
			}
		}
		return nil
	})
	adopted := make(chan error, 1)
	go func() {
		_, err := s.adopt(t.Context(), request(0), vm.Self)
		adopted <- err
	}()
	<-looked
	configure("52f0b5d2-0000-4000-8000-000000000001")
	var foreign *ForeignVMError
	if err := <-adopted; !errors.As(err, &foreign) {
		t.Errorf("a VM that has got a configuration: %v, want it known as another's", err)
	}
}

func TestDeleteFolderSparesOwnClone(t *testing.T) {
	vc, s := openKit(t, testkit.Options{CloneDelay: 500 * time.Millisecond})
	mustFolder(t, s)
	started := make(chan struct{})
	vc.AfterCall(func(method string, _ int) error {
		if method == "CloneVM_Task" {
			close(started)
		}
		return nil
	})
	cloned := make(chan error, 1)
	go func() {
		_, err := s.Clone(t.Context(), request(0))
		cloned <- err
	}()
	<-started
	var notEmpty *NotEmptyError
	err := s.DeleteFolder(t.Context(), "/dc-north/vm/k8s/prod")
	if !errors.As(err, &notEmpty) || cmp.Diff([]string{request(0).Name}, notEmpty.Children) != "" {
		t.Errorf("deleting a folder into which a clone goes: %v, want a NotEmptyError with its name", err)
	}
	if err := s.AwaitClones(t.Context()); err != nil {
		t.Error(err)
	}
	if len(cloned) > 0 {
		t.Error("a clone that its caller waits for was waited for")
	}
	if err := <-cloned; err != nil {
		t.Errorf("the clone: %v", err)
	}
}
