package vsphere

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// maxWait is how long one call waits for an update.
	maxWait = 60
	// gather is how long waits are collected before they are put on the list together.
	gather = 30 * time.Millisecond
	// lateListing is how long a task whose outcome a watch will show is not put on the list. Most are over by then.
	lateListing = 1500 * time.Millisecond
	// cancelAgain is how often an outstanding call is cancelled: a cancellation that comes before the call is lost.
	cancelAgain = 250 * time.Millisecond
)

// errTaskLost says that vCenter no longer knows a task, so that its outcome has to be looked up in the world.
var errTaskLost = errors.New("vCenter no longer knows the task")

// errViewLost says that what the loop watches through went with the session that made it. The loop makes it anew.
var errViewLost = errors.New("vCenter no longer knows what the session watches")

// waiting is somebody's wait for one object, a task or a VM.
type waiting struct {
	ref types.ManagedObjectReference
	// ready looks at the properties known so far and tells whether the wait is over.
	ready func(props) (result any, done bool, err error)
	// early tells from a watched VM that the wait is over; nil where no watch can tell.
	early  func(object) bool
	due    time.Time // when the object goes on the list
	listed bool
	props  props
	done   chan outcome
}

type outcome struct {
	result any
	err    error
}

// updates is the one loop of a session that waits, for tasks and for watches, on one property collector. It makes no call
// while nobody waits. After each answer it pauses for the session's pace, so that a burst of changes is one answer.
type updates struct {
	session *Session
	kick    chan struct{} // something below has changed

	mutex   sync.Mutex
	waits   map[*waiting]bool
	watches map[*Watch]bool
	retired []types.ManagedObjectReference // views of closed watches
	over    []types.ManagedObjectReference // on the list and not waited for any more
	gone    sync.Map                       // references of VMs we destroyed, so that nobody looks for where they went

	// The rest belongs to the loop.
	collector *types.ManagedObjectReference
	list      types.ManagedObjectReference
	version   string
	// shown is what vCenter has told of the objects on the list. It does not tell it again to a second wait for one.
	shown   map[types.ManagedObjectReference]props
	filters map[types.ManagedObjectReference]*Watch
}

func newUpdates(s *Session) *updates {
	return &updates{
		session: s, kick: make(chan struct{}, 1), waits: map[*waiting]bool{}, watches: map[*Watch]bool{},
		filters: map[types.ManagedObjectReference]*Watch{}, shown: map[types.ManagedObjectReference]props{},
	}
}

func (u *updates) wake() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// run is the loop. It ends with the session.
func (u *updates) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		if u.idle() {
			select {
			case <-u.kick:
			case <-ctx.Done():
			}
			continue
		}
		err := u.round(ctx)
		switch {
		case err == nil:
			failures = 0
			continue
		case ctx.Err() != nil:
		case errors.Is(err, ErrCredentials):
			u.failAll(err)
		default:
			failures++
			u.broken(ctx, err)
			_ = pause(ctx, backoff(failures)) // the loop's condition looks at the context
		}
	}
	u.failAll(ErrClosed)
}

func (u *updates) idle() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return len(u.waits) == 0 && len(u.watches) == 0
}

// round brings the collector up to what is waited for and takes one answer.
func (u *updates) round(ctx context.Context) error {
	if err := u.prepare(ctx); err != nil {
		return err
	}
	set, err := u.answer(ctx)
	if err != nil || set == nil {
		return err
	}
	u.version = set.Version
	if err := u.apply(ctx, set); err != nil {
		return err
	}
	if isTrue(set.Truncated) {
		return nil
	}
	_ = pause(ctx, u.session.config.Pace) // cut short only by the end of the session
	return nil
}

// prepare makes the collector where there is none, and the filters of watches. It runs only while no call is outstanding.
func (u *updates) prepare(ctx context.Context) error {
	s := u.session
	if u.collector == nil {
		created, err := methods.CreatePropertyCollector(ctx, s.vim, &types.CreatePropertyCollector{
			This: s.content.PropertyCollector,
		})
		if err != nil {
			return err
		}
		list, err := methods.CreateListView(ctx, s.vim, &types.CreateListView{This: *s.content.ViewManager})
		if err != nil {
			return err
		}
		u.collector, u.list, u.version = &created.Returnval, list.Returnval, ""
		if _, err := u.createFilter(ctx, waitSpec(u.list)); err != nil {
			return err
		}
	}
	if err := u.prepareWatches(ctx); err != nil {
		return err
	}
	return u.enlist(ctx, true)
}

// waitSpec selects what is on the list: tasks, and VMs whose power state or first configuration is waited for.
func waitSpec(list types.ManagedObjectReference) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		ObjectSet:                     []types.ObjectSpec{viewSpec(list)},
		PropSet: []types.PropertySpec{
			{Type: "Task", PathSet: []string{"info.state", "info.error", "info.result"}},
			{Type: typeVM, PathSet: []string{
				"runtime.powerState", "runtime.connectionState", "config.instanceUuid",
			}},
		},
	}
}

func (u *updates) createFilter(
	ctx context.Context, spec types.PropertyFilterSpec,
) (types.ManagedObjectReference, error) {
	response, err := methods.CreateFilter(ctx, u.session.vim, &types.CreateFilter{This: *u.collector, Spec: spec})
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return response.Returnval, nil
}

// enlist puts what is due on the list and takes off what is done, in one call. Between two answers everything that is
// not put off on purpose counts as due.
func (u *updates) enlist(ctx context.Context, between bool) error {
	now := time.Now()
	change := types.ModifyListView{This: u.list}
	added := map[types.ManagedObjectReference][]*waiting{}
	u.mutex.Lock()
	for w := range u.waits {
		putOff := w.early != nil && w.due.After(now)
		if !w.listed && (between && !putOff || !w.due.After(now)) {
			w.listed = true
			if added[w.ref] == nil {
				change.Add = append(change.Add, w.ref)
			}
			added[w.ref] = append(added[w.ref], w)
		}
	}
	if len(change.Add) > 0 {
		for _, ref := range u.over {
			if !u.isAwaited(ref) {
				change.Remove = append(change.Remove, ref)
			}
		}
		u.over = nil
	}
	u.mutex.Unlock()
	if len(change.Add) == 0 {
		return nil
	}
	response, err := methods.ModifyListView(ctx, u.session.vim, &change)
	if err != nil {
		return err
	}
	for _, ref := range change.Remove {
		delete(u.shown, ref)
	}
	for _, ref := range response.Returnval {
		for _, w := range added[ref] {
			u.finish(w, outcome{err: errTaskLost})
		}
	}
	for ref, waits := range added {
		for _, w := range waits {
			u.show(w, u.shown[ref])
		}
	}
	return nil
}

// show gives a wait what is known of its object, in whole or in part.
func (u *updates) show(w *waiting, known props) {
	maps.Copy(w.props, known)
	if result, done, err := w.ready(w.props); done {
		u.finish(w, outcome{result: result, err: err})
	}
}

// isAwaited is called with the mutex held.
func (u *updates) isAwaited(ref types.ManagedObjectReference) bool {
	for w := range u.waits {
		if w.ref == ref {
			return true
		}
	}
	return false
}

// answer waits for the next updates. Meanwhile it puts new waits on the list, and cancels the call when a watch has to be
// changed. A nil set is no news.
func (u *updates) answer(ctx context.Context) (*types.UpdateSet, error) {
	type reply struct {
		set *types.UpdateSet
		err error
	}
	replies := make(chan reply, 1)
	collector, version := *u.collector, u.version
	u.session.owned.Go(func() {
		response, err := methods.WaitForUpdatesEx(ctx, u.session.vim, &types.WaitForUpdatesEx{
			This: collector, Version: version, Options: &types.WaitOptions{MaxWaitSeconds: types.NewInt32(maxWait)},
		})
		if err != nil {
			replies <- reply{err: err}
			return
		}
		replies <- reply{set: response.Returnval}
	})
	var failure error
	timer := time.NewTimer(u.untilDue())
	defer timer.Stop()
	for {
		select {
		case r := <-replies:
			if _, cancelled := isFault[*types.RequestCanceled](r.err); cancelled {
				r.err = nil
			}
			return r.set, errors.Join(failure, r.err)
		case <-u.kick:
		case <-timer.C:
			if failure == nil {
				failure = u.enlist(ctx, false)
			}
		}
		if failure != nil || u.hasDirtyWatch() {
			u.cancelWait(ctx)
			timer.Reset(cancelAgain)
			continue
		}
		timer.Reset(u.untilDue())
	}
}

func (u *updates) cancelWait(ctx context.Context) {
	// A cancellation that does not get through is sent again; the call ends by itself in the worst case.
	_, _ = methods.CancelWaitForUpdates(ctx, u.session.vim, &types.CancelWaitForUpdates{This: *u.collector})
}

// untilDue is the time until something has to go on the list.
func (u *updates) untilDue() time.Duration {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	next := time.Hour
	for w := range u.waits {
		if !w.listed {
			next = min(next, max(0, time.Until(w.due)))
		}
	}
	return next
}

// apply takes an answer into the waits and watches.
func (u *updates) apply(ctx context.Context, set *types.UpdateSet) error {
	touched := map[*Watch]bool{}
	for _, filter := range set.FilterSet {
		watch := u.filters[filter.Filter]
		for _, update := range filter.ObjectSet {
			if watch != nil {
				watch.update(update)
				touched[watch] = true
				continue
			}
			u.updateWaits(update)
		}
	}
	for watch := range touched {
		if err := watch.settle(ctx, !isTrue(set.Truncated)); err != nil {
			return err
		}
	}
	if len(touched) > 0 {
		u.checkEarly()
	}
	return nil
}

// merge applies the changes of one object to its properties.
func (p props) merge(changes []types.PropertyChange) {
	for _, change := range changes {
		if change.Op == types.PropertyChangeOpRemove || change.Op == types.PropertyChangeOpIndirectRemove ||
			change.Val == nil {
			delete(p, change.Name)
			continue
		}
		p[change.Name] = change.Val
	}
}

func (u *updates) updateWaits(update types.ObjectUpdate) {
	left := update.Kind == types.ObjectUpdateKindLeave
	known := u.shown[update.Obj]
	if known == nil {
		known = props{}
	}
	known.merge(update.ChangeSet)
	if u.shown[update.Obj] = known; left {
		delete(u.shown, update.Obj)
	}
	u.mutex.Lock()
	var concerned []*waiting
	for w := range u.waits {
		if w.ref == update.Obj && w.listed {
			concerned = append(concerned, w)
		}
	}
	u.mutex.Unlock()
	for _, w := range concerned {
		if left {
			u.finish(w, outcome{err: errTaskLost})
			continue
		}
		clear(w.props)
		u.show(w, known)
	}
}

// checkEarly ends the waits that a watched VM shows to be over.
func (u *updates) checkEarly() {
	u.mutex.Lock()
	early := slices.DeleteFunc(slices.Collect(maps.Keys(u.waits)), func(w *waiting) bool { return w.early == nil })
	watches := slices.Collect(maps.Keys(u.watches))
	u.mutex.Unlock()
	if len(early) == 0 {
		return
	}
	for _, watch := range watches {
		for _, vm := range watch.vms() {
			for _, w := range early {
				if w.early(vm) {
					u.finish(w, outcome{result: vm.ref})
				}
			}
		}
	}
}

func (u *updates) finish(w *waiting, o outcome) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if u.waits[w] {
		u.forgetWait(w)
		w.done <- o
	}
}

// forgetWait is called with the mutex held.
func (u *updates) forgetWait(w *waiting) {
	delete(u.waits, w)
	if w.listed {
		u.over = append(u.over, w.ref)
	}
}

// broken forgets the collector: after an error nothing says which updates were lost. Everything is read again.
func (u *updates) broken(ctx context.Context, err error) {
	if Classify(err) == ClassGone {
		err = fmt.Errorf("%w: %v", errViewLost, err) //nolint:errorlint // the fault is the collector's alone
	}
	if u.collector != nil {
		_, _ = methods.DestroyPropertyCollector(ctx, u.session.vim, &types.DestroyPropertyCollector{This: *u.collector})
		u.retire(u.list)
	}
	u.collector = nil
	clear(u.filters)
	clear(u.shown)
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.over = nil
	for w := range u.waits {
		w.listed = false
	}
	for watch := range u.watches {
		watch.lost(err)
	}
}

func (u *updates) failAll(err error) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for w := range u.waits {
		delete(u.waits, w)
		w.done <- outcome{err: err}
	}
	for watch := range u.watches {
		delete(u.watches, watch)
		watch.end(err)
	}
}

func (u *updates) retire(views ...types.ManagedObjectReference) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.retired = append(u.retired, views...)
}
