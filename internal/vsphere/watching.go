package vsphere

import (
	"context"
	"maps"
	"slices"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// setUp reads everything and makes the filter that keeps it up to date.
func (w *Watch) setUp(ctx context.Context, u *updates) error {
	s := w.session
	w.mutex.Lock()
	w.dirty = false
	asked := w.asked
	w.asked = nil
	w.mutex.Unlock()
	err := w.build(ctx, s, u)
	if class := Classify(err); class == ClassFatal || class == ClassPermission {
		// No next attempt would mend it, and the other watches have to go on.
		u.mutex.Lock()
		delete(u.watches, w)
		u.mutex.Unlock()
		w.end(err)
	} else if err != nil {
		w.mutex.Lock()
		w.asked = append(w.asked, asked...) // they wait for the next attempt, or for their context
		w.mutex.Unlock()
		return err
	}
	for _, done := range asked {
		done <- err
	}
	return nil
}

func (w *Watch) build(ctx context.Context, s *Session, u *updates) error {
	at, objects, err := s.readFolder(ctx, w.target)
	if err != nil {
		return err
	}
	elsewhere, err := s.findKnown(ctx, w.target, objects)
	if err != nil {
		return err
	}
	objects = append(objects, elsewhere...)
	known, err := s.treeFor(ctx, objects)
	if err != nil {
		return err
	}
	if err := w.buildFilter(ctx, u, at, elsewhere); err != nil {
		return err
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.at, w.tree, w.err, w.left = at, known, nil, nil
	w.objects = map[types.ManagedObjectReference]object{}
	for _, o := range objects {
		w.objects[o.ref] = o
	}
	w.entered, w.complete = map[types.ManagedObjectReference]bool{}, false
	w.compute()
	return nil
}

// buildFilter makes one filter for the folder, the VMs directly in it, and a list of VMs elsewhere.
func (w *Watch) buildFilter(ctx context.Context, u *updates, at place, elsewhere []object) error {
	s := w.session
	u.dropFilter(ctx, w)
	listed := make([]types.ManagedObjectReference, len(elsewhere))
	for i, o := range elsewhere {
		listed[i] = o.ref
	}
	list, err := methods.CreateListView(ctx, s.vim, &types.CreateListView{This: *s.content.ViewManager, Obj: listed})
	if err != nil {
		return err
	}
	w.list = &list.Returnval
	spec := types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		ObjectSet:                     []types.ObjectSpec{viewSpec(*w.list)},
		PropSet: []types.PropertySpec{
			{Type: typeFolder, PathSet: []string{"name", "parent"}}, {Type: typeVM, PathSet: watchPaths},
		},
	}
	if at.folder != nil {
		view, err := methods.CreateContainerView(ctx, s.vim, &types.CreateContainerView{
			This: *s.content.ViewManager, Container: *at.folder, Type: []string{typeVM},
		})
		if err != nil {
			return err
		}
		w.view = &view.Returnval
		spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: *at.folder}, viewSpec(*w.view))
	}
	filter, err := u.createFilter(ctx, spec)
	if err != nil {
		return err
	}
	w.filter = &filter
	u.filters[filter] = w
	return nil
}

// prepareWatches brings the filters of watches up to date.
func (u *updates) prepareWatches(ctx context.Context) error {
	u.mutex.Lock()
	watches := slices.Collect(maps.Keys(u.watches))
	u.mutex.Unlock()
	for filter, w := range u.filters {
		if !slices.Contains(watches, w) {
			delete(u.filters, filter)
			u.dropFilter(ctx, w)
		}
	}
	for _, w := range watches {
		w.mutex.Lock()
		dirty, left := w.dirty, w.left
		w.left = nil
		w.mutex.Unlock()
		if dirty {
			if err := w.setUp(ctx, u); err != nil {
				return err
			}
			continue
		}
		if len(left) > 0 {
			_, err := methods.ModifyListView(ctx, u.session.vim, &types.ModifyListView{This: *w.list, Add: left})
			if err != nil {
				return err
			}
		}
	}
	u.dropRetired(ctx)
	return nil
}

// dropFilter removes a watch's filter and views. What cannot be removed ends with the session.
func (u *updates) dropFilter(ctx context.Context, w *Watch) {
	if w.filter != nil {
		delete(u.filters, *w.filter)
		_, _ = methods.DestroyPropertyFilter(ctx, u.session.vim, &types.DestroyPropertyFilter{This: *w.filter})
	}
	for _, view := range []*types.ManagedObjectReference{w.view, w.list} {
		if view != nil {
			u.retire(*view)
		}
	}
	w.filter, w.view, w.list = nil, nil, nil
}

func (u *updates) dropRetired(ctx context.Context) {
	u.mutex.Lock()
	views := u.retired
	u.retired = nil
	u.mutex.Unlock()
	for _, view := range views {
		_, _ = methods.DestroyView(ctx, u.session.vim, &types.DestroyView{This: view})
	}
}

func (u *updates) hasDirtyWatch() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for w := range u.watches {
		if w.isDirty() {
			return true
		}
	}
	return false
}

// covered tells whether a watch will show a VM.
func (u *updates) covered(vm, folder *types.ManagedObjectReference) bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for w := range u.watches {
		if w.covers(vm, folder) {
			return true
		}
	}
	return false
}

// folderGone makes the watches on a folder look again.
func (u *updates) folderGone(folder types.ManagedObjectReference) {
	u.mutex.Lock()
	for w := range u.watches {
		w.mutex.Lock()
		w.dirty = w.dirty || w.at.folder != nil && *w.at.folder == folder
		w.mutex.Unlock()
	}
	u.mutex.Unlock()
	u.wake()
}

// folderMade makes the watches that have no folder look again.
func (u *updates) folderMade() {
	u.mutex.Lock()
	for w := range u.watches {
		w.mutex.Lock()
		w.dirty = w.dirty || w.at.folder == nil
		w.mutex.Unlock()
	}
	u.mutex.Unlock()
	u.wake()
}
