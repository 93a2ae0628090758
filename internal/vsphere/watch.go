package vsphere

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Watch is a live mirror of what Machines returns. New VMs in the folder enter by themselves, VMs that are moved away stay
// in sight, and a folder made by CreateFolder of the same session is picked up; Refresh picks up one made otherwise.
// When the session or the collector is lost, everything is read again.
type Watch struct {
	session *Session
	target  Target
	changed chan struct{}

	mutex   sync.Mutex
	at      place
	objects map[types.ManagedObjectReference]object
	// entered are the objects the present filter has reported; complete says that it has reported all.
	entered  map[types.ManagedObjectReference]bool
	complete bool
	left     []types.ManagedObjectReference // ours, and not in the folder any more
	tree     *tree
	facts    cluster.FolderFacts
	machines []cluster.Machine
	dirty    bool
	err      error
	ended    bool
	asked    []chan error // who waits for the next set-up

	// The rest belongs to the update loop.
	filter     *types.ManagedObjectReference
	view, list *types.ManagedObjectReference
}

// watchPaths are the properties that are watched of a machine: those of machinePaths, with less about its disks.
var watchPaths = append(
	slices.DeleteFunc(slices.Clone(machinePaths), func(path string) bool { return path == pathDevices }),
	pathDiskCount, pathFirstDisk,
)

// Watch starts a mirror and returns once it is filled. The folder need not exist. Close it when done.
func (s *Session) Watch(ctx context.Context, t Target) (*Watch, error) {
	w := &Watch{session: s, target: t, changed: make(chan struct{}, 1), dirty: true}
	if err := s.usable(); err != nil {
		return nil, err
	}
	s.updates.mutex.Lock()
	s.updates.watches[w] = true
	s.updates.mutex.Unlock()
	if err := w.Refresh(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Refresh looks for the folder and for known machines anew and returns once the mirror shows what is there.
func (w *Watch) Refresh(ctx context.Context) error {
	done := make(chan error, 1)
	w.mutex.Lock()
	if w.ended {
		defer w.mutex.Unlock()
		return w.err
	}
	w.dirty = true
	w.asked = append(w.asked, done)
	w.mutex.Unlock()
	w.session.updates.wake()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("watching machines: %w", ctx.Err())
	case <-w.session.ctx.Done():
		return ErrClosed
	}
}

// Machines returns the mirror's content, in the order of Session.Machines.
func (w *Watch) Machines() (cluster.FolderFacts, []cluster.Machine) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	facts := w.facts
	facts.TakenNames = maps.Clone(facts.TakenNames)
	facts.Subfolders = maps.Clone(facts.Subfolders)
	return facts, slices.Clone(w.machines)
}

// Changed receives after the mirror or its error has changed. Several changes may be one message.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Err says why the mirror may be out of date: the last error of the update loop until it has recovered, or the error that
// ended it.
func (w *Watch) Err() error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.err
}

// Close ends the watch.
func (w *Watch) Close() {
	u := w.session.updates
	u.mutex.Lock()
	known := u.watches[w]
	delete(u.watches, w)
	u.mutex.Unlock()
	if known {
		w.end(ErrClosed)
		u.wake()
	}
}

func (w *Watch) end(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.ended, w.err = true, err
	w.tell(err)
	w.notify()
}

func (w *Watch) lost(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.dirty, w.err = true, err
	w.filter, w.view, w.list = nil, nil, nil
	w.notify()
}

func (w *Watch) notify() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *Watch) tell(err error) {
	for _, done := range w.asked {
		done <- err
	}
	w.asked = nil
}

func (w *Watch) isDirty() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.dirty || len(w.left) > 0
}

func (w *Watch) vms() []object {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	vms := make([]object, 0, len(w.objects))
	for _, o := range w.objects {
		if o.ref.Type == typeVM {
			vms = append(vms, object{ref: o.ref, props: maps.Clone(o.props)})
		}
	}
	return vms
}

// covers tells whether the mirror will show a VM: one it has, or a new one in its folder.
func (w *Watch) covers(vm, folder *types.ManagedObjectReference) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.dirty {
		return false
	}
	if vm != nil {
		_, ok := w.objects[*vm]
		return ok
	}
	return folder != nil && w.at.folder != nil && *w.at.folder == *folder
}

// update takes one change into the mirror.
func (w *Watch) update(update types.ObjectUpdate) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.dirty {
		return // everything is about to be read again
	}
	if update.Kind == types.ObjectUpdateKindLeave {
		w.leave(update.Obj)
		return
	}
	w.entered[update.Obj] = true
	if update.Obj.Type == typeFolder {
		w.folderChanged(update.ChangeSet)
		return
	}
	known, ok := w.objects[update.Obj]
	if !ok || update.Kind == types.ObjectUpdateKindEnter {
		known = object{ref: update.Obj, props: props{}}
	}
	for _, change := range update.ChangeSet {
		if change.Name == pathDiskCount || change.Name == pathFirstDisk {
			delete(known.props, pathDevices)
		}
	}
	known.props.merge(update.ChangeSet)
	w.objects[update.Obj] = known
}

// leave takes an object out. One of ours that left the folder may only have been moved: it goes on the list, which shows
// it again if it still exists.
func (w *Watch) leave(ref types.ManagedObjectReference) {
	if w.at.folder != nil && ref == *w.at.folder {
		w.dirty = true
		return
	}
	gone, ok := w.objects[ref]
	delete(w.objects, ref)
	_, destroyed := w.session.updates.gone.LoadAndDelete(ref)
	if ok && w.isOurs(gone) && !destroyed {
		w.left = append(w.left, ref)
	}
}

func (w *Watch) isOurs(vm object) bool {
	owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
	return err == nil && owner.Gateway == w.target.GatewayID && owner.Cluster == w.target.ClusterID
}

// folderChanged notices a folder that was renamed or moved and so is not the cluster's folder any more.
func (w *Watch) folderChanged(changes []types.PropertyChange) {
	for _, change := range changes {
		if change.Name == "name" && change.Val != lastElement(w.at.path) {
			w.dirty = true
		}
	}
}

// settle makes the machines of the mirror after an answer.
func (w *Watch) settle(ctx context.Context, whole bool) error {
	w.mutex.Lock()
	if w.dirty {
		w.mutex.Unlock()
		w.session.forget()
		return nil
	}
	if whole && !w.complete {
		w.complete = true
		for ref := range w.objects {
			if !w.entered[ref] {
				delete(w.objects, ref) // it went between the read and the filter
			}
		}
	}
	vms := slices.Collect(maps.Values(w.objects))
	knows := w.tree.knows(vms)
	var unknown []types.ManagedObjectReference
	for _, vm := range vms {
		if !knowDisks(vm.props) && w.isOurs(vm) {
			unknown = append(unknown, vm.ref)
		}
	}
	w.mutex.Unlock()
	fresh := w.tree // only this goroutine changes it
	var err error
	if !knows {
		if fresh, err = w.session.treeFor(ctx, vms); err != nil {
			return err
		}
	}
	var devices map[types.ManagedObjectReference]any
	if len(unknown) > 0 {
		if devices, err = w.session.readDevices(ctx, unknown); err != nil {
			return err
		}
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.tree = fresh
	w.setDevices(devices)
	w.compute()
	return nil
}

// setDevices is called with the mutex held.
func (w *Watch) setDevices(devices map[types.ManagedObjectReference]any) {
	for ref, list := range devices {
		if vm, ok := w.objects[ref]; ok && list != nil {
			vm.props[pathDevices] = list
		}
	}
}

// showDevices puts devices that were read after a change of ours into the mirrors.
func (u *updates) showDevices(devices map[types.ManagedObjectReference]any) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for w := range u.watches {
		w.mutex.Lock()
		if w.tree != nil {
			w.setDevices(devices)
			w.compute()
		}
		w.mutex.Unlock()
	}
}

// compute is called with the mutex held.
func (w *Watch) compute() {
	vms := slices.Collect(maps.Values(w.objects))
	w.facts, w.machines = w.tree.machines(w.target, w.at, vms)
	w.notify()
}
