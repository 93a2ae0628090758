package vsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// cloneTask is the description id of every CloneVM_Task.
const cloneTask = "VirtualMachine.clone"

// AwaitClones waits until all clones are over that the session's user has begun, in this process or in one that died,
// and that are running now. Until then a machine that is being made may be neither in its folder nor among the machines
// of Owned, so nobody can say that nothing is left. Whether they succeed does not matter: what there is afterwards can
// be read. Clones that a call of this session's Clone waits for are left out, they are that caller's. It makes one call
// when no clone runs.
func (s *Session) AwaitClones(ctx context.Context) error {
	_, err := s.awaitClones(ctx)
	return err
}

// awaitClones is AwaitClones and tells how many clones it has waited for.
func (s *Session) awaitClones(ctx context.Context) (int, error) {
	tasks, err := s.runningClones(ctx)
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		group.Go(func() error {
			_, err := s.updates.await(ctx, &waiting{ref: task.ref, ready: taskOver}, false)
			if errors.Is(err, errTaskLost) {
				return nil
			}
			if err != nil {
				source := orZero(refOf(task.props, "info.entity"))
				return fmt.Errorf("%w, of %s: %w", errBeingMade, s.describe(source), err)
			}
			return nil
		})
	}
	return len(tasks), group.Wait()
}

// taskOver tells from a task's properties whether it has ended, however.
func taskOver(p props) (any, bool, error) {
	_, over, _ := taskReady(p)
	return nil, over, nil
}

func (s *Session) runningClones(ctx context.Context) ([]object, error) {
	tasks, err := s.retrieve(ctx, types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		ObjectSet: []types.ObjectSpec{{
			Obj: *s.content.TaskManager, Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: "TaskManager", Path: "recentTask"}},
		}},
		PropSet: []types.PropertySpec{{
			Type: "Task", PathSet: []string{"info.state", "info.descriptionId", "info.reason", "info.entity"},
		}},
	})
	if err != nil {
		return nil, s.newFaultError("read running tasks", "", err)
	}
	user, _ := s.user.Load().(string)
	return slices.DeleteFunc(tasks, func(task object) bool {
		state := prop[types.TaskInfoState](task.props, "info.state")
		reason := prop[types.TaskReasonUser](task.props, "info.reason")
		runs := state == types.TaskInfoStateQueued || state == types.TaskInfoStateRunning
		return !runs || prop[string](task.props, "info.descriptionId") != cloneTask ||
			!strings.EqualFold(reason.UserName, user) || s.making.has(task.ref)
	}), nil
}

// making keeps a session's own clones and its deletions of folders apart. Destroying a folder destroys what is in it, so
// from the look that finds it empty to the end of the deletion nothing of ours may go in.
type making struct {
	// gate is shared by what puts something into a folder and exclusive to the deletion of one.
	gate   *semaphore.Weighted
	mutex  sync.Mutex
	clones map[*cloning]bool
}

// gateWidth is far more than there are calls under way at once.
const gateWidth = 1 << 20

// cloning is one clone that is waited for.
type cloning struct {
	folder, task types.ManagedObjectReference
	name         string
}

func newMaking() *making {
	return &making{gate: semaphore.NewWeighted(gateWidth), clones: map[*cloning]bool{}}
}

// enter lets its caller put something into folders until the returned function is called.
func (m *making) enter(ctx context.Context) (leave func(), err error) { return m.take(ctx, 1) }

// enterAlone keeps everybody else out of all folders until the returned function is called.
func (m *making) enterAlone(ctx context.Context) (leave func(), err error) {
	return m.take(ctx, gateWidth)
}

func (m *making) take(ctx context.Context, share int64) (func(), error) {
	if err := m.gate.Acquire(ctx, share); err != nil {
		return nil, fmt.Errorf("waiting for a folder to be deleted: %w", err)
	}
	return func() { m.gate.Release(share) }, nil
}

// begin notes a clone before vCenter may show it. The caller has entered, and ends it when nobody waits for it any more.
func (m *making) begin(folder types.ManagedObjectReference, name string) *cloning {
	c := &cloning{folder: folder, name: name}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.clones[c] = true
	return c
}

func (m *making) started(c *cloning, task types.ManagedObjectReference) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	c.task = task
}

func (m *making) end(c *cloning) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.clones, c)
}

// has tells whether a task is one of the clones.
func (m *making) has(task types.ManagedObjectReference) bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for c := range m.clones {
		if c.task == task {
			return true
		}
	}
	return false
}

// in returns the names of the clones that are being made in a folder.
func (m *making) in(folder types.ManagedObjectReference) []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var names []string
	for c := range m.clones {
		if c.folder == folder {
			names = append(names, c.name)
		}
	}
	return names
}
