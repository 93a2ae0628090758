package testkit

import (
	"reflect"
	"strconv"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// mirror is what the client of one property collector has been told. The simulator would read every object of every
// filter anew for each single change; a mirror reads what has changed and tells the difference.
type mirror struct {
	// receiver lets the mirror live in the registry of its session, and so as long as that.
	receiver

	mu      sync.Mutex
	seen    int64
	filters map[types.ManagedObjectReference]*filterMirror
	rest    []types.PropertyFilterUpdate // what did not fit into the last answer
	version int
	// earlier is the version that the last answer was given for: who asks for it again has lost the answer.
	earlier string
	last    *types.UpdateSet
}

func mirrorRef(collector types.ManagedObjectReference) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "CollectorMirror", Value: collector.Value}
}

// restart forgets everything: the next answer has the whole state.
func (m *mirror) restart() {
	m.seen, m.filters, m.rest = 0, map[types.ManagedObjectReference]*filterMirror{}, nil
}

// begin takes the version a client has. It returns the answer that the client has lost, if it has.
func (m *mirror) begin(version string) (*types.UpdateSet, types.BaseMethodFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case version == "":
		m.restart()
	case m.last == nil:
		return nil, &types.InvalidCollectorVersion{}
	case version == m.last.Version:
	case version == m.earlier:
		return m.last, nil
	default:
		return nil, &types.InvalidCollectorVersion{}
	}
	m.earlier = version
	return nil, nil
}

// next is the next answer of at most so many objects; nil when there is nothing to tell. It needs the world. An empty
// inventory is worth telling to a client that knows nothing yet.
func (m *mirror) next(
	ctx *simulator.Context, collector *simulator.PropertyCollector, changes *changes, most int,
) (*types.UpdateSet, types.BaseMethodFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rest) == 0 {
		if fault := m.read(ctx, collector, changes); fault != nil {
			return nil, fault
		}
	}
	if len(m.rest) == 0 && m.earlier != "" {
		return nil, nil
	}
	m.version++
	set := &types.UpdateSet{Version: strconv.Itoa(m.version)}
	set.FilterSet, m.rest = cut(m.rest, most)
	if len(m.rest) > 0 {
		set.Truncated = types.NewBool(true)
	}
	m.last = set
	return set, nil
}

func (m *mirror) read(
	ctx *simulator.Context, collector *simulator.PropertyCollector, changes *changes,
) types.BaseMethodFault {
	now := changes.now()
	present := map[types.ManagedObjectReference]*filterMirror{}
	for _, ref := range collector.Filter {
		filter, ok := ctx.Session.Get(ref).(*simulator.PropertyFilter)
		if !ok {
			continue
		}
		known := m.filters[ref]
		if known == nil {
			known = newFilterMirror(filter.Spec)
		}
		present[ref] = known
		reader := &reader{ctx: ctx, collector: collector, changes: changes, seen: m.seen}
		update, fault := known.update(reader)
		if fault != nil {
			return fault
		}
		if update.Filter = ref; len(update.ObjectSet)+len(update.MissingSet) > 0 {
			m.rest = append(m.rest, update)
		}
	}
	m.filters, m.seen = present, now
	return nil
}

// isPaging tells whether the next answer is there already.
func (m *mirror) isPaging() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rest) > 0
}

// changedAfter returns what is closed once anything has changed that the mirror has not seen.
func (m *mirror) changedAfter(changes *changes) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return changes.after(m.seen)
}

// cut splits updates after so many objects.
func cut(updates []types.PropertyFilterUpdate, most int) (head, rest []types.PropertyFilterUpdate) {
	for i, update := range updates {
		if len(update.ObjectSet) <= most {
			most -= len(update.ObjectSet)
			head = append(head, update)
			continue
		}
		later := types.PropertyFilterUpdate{Filter: update.Filter, ObjectSet: update.ObjectSet[most:]}
		if update.ObjectSet = update.ObjectSet[:most]; most > 0 || len(update.MissingSet) > 0 {
			head = append(head, update)
		}
		return head, append([]types.PropertyFilterUpdate{later}, updates[i+1:]...)
	}
	return head, nil
}

// reader reads properties as the simulator has them.
type reader struct {
	ctx       *simulator.Context
	collector *simulator.PropertyCollector
	changes   *changes
	seen      int64
}

func (r *reader) exists(ref types.ManagedObjectReference) bool { return r.ctx.Session.Get(ref) != nil }

func (r *reader) retrieve(spec types.PropertyFilterSpec) ([]types.ObjectContent, types.BaseMethodFault) {
	body := r.collector.RetrievePropertiesEx(r.ctx, &types.RetrievePropertiesEx{
		This: r.collector.Self, SpecSet: []types.PropertyFilterSpec{spec},
	})
	if fault := body.Fault(); fault != nil {
		if f, ok := fault.VimFault().(types.BaseMethodFault); ok {
			return nil, f
		}
		return nil, &types.SystemError{Reason: fault.String}
	}
	answer, ok := body.(*methods.RetrievePropertiesExBody)
	if !ok || answer.Res.Returnval == nil {
		return nil, nil
	}
	return answer.Res.Returnval.Objects, nil
}

// filterMirror is what the client has been told of the objects of one filter.
type filterMirror struct {
	spec types.PropertyFilterSpec
	// overViews: nothing but the members of views can be selected, so that the selection changes only with the views.
	overViews bool
	selected  []types.ManagedObjectReference
	objects   map[types.ManagedObjectReference]properties
	missing   map[types.ManagedObjectReference]bool
}

type properties map[string]types.AnyType

func newFilterMirror(spec types.PropertyFilterSpec) *filterMirror {
	f := &filterMirror{spec: spec, overViews: true}
	for _, root := range spec.ObjectSet {
		for _, selection := range root.SelectSet {
			step, ok := selection.(*types.TraversalSpec)
			f.overViews = f.overViews && ok && step.Path == "view" && len(step.SelectSet) == 0
		}
	}
	return f
}

// update brings the mirror up to date and returns the difference.
func (f *filterMirror) update(r *reader) (types.PropertyFilterUpdate, types.BaseMethodFault) {
	var update types.PropertyFilterUpdate
	first := f.objects == nil
	if first || f.mayDiffer(r) {
		if fault := f.selectObjects(r, first, &update); fault != nil {
			return update, fault
		}
	}
	var unread []types.ManagedObjectReference
	for _, ref := range f.selected {
		_, known := f.objects[ref]
		if changed, _ := r.changes.since(r.seen, ref); changed || !known {
			unread = append(unread, ref)
		}
	}
	if len(unread) == 0 {
		return update, nil
	}
	fault := f.readObjects(r, unread, &update)
	return update, fault
}

// mayDiffer tells whether the filter may select other objects than before.
func (f *filterMirror) mayDiffer(r *reader) bool {
	if !f.overViews {
		return r.changes.now() > r.seen
	}
	for _, root := range f.spec.ObjectSet {
		changed, removed := r.changes.since(r.seen, root.Obj)
		if changed && len(root.SelectSet) > 0 || removed || f.missing[root.Obj] == r.exists(root.Obj) {
			return true
		}
	}
	for _, ref := range f.selected {
		if _, removed := r.changes.since(r.seen, ref); removed {
			return true
		}
	}
	return false
}

// selectObjects finds what the filter selects now, without reading it, and tells of what it does not select any more.
func (f *filterMirror) selectObjects(
	r *reader, first bool, update *types.PropertyFilterUpdate,
) types.BaseMethodFault {
	spec := f.spec
	if !first {
		spec.ReportMissingObjectsInResults = types.NewBool(true) // they have left since
	}
	spec.PropSet = make([]types.PropertySpec, len(f.spec.PropSet))
	for i, properties := range f.spec.PropSet {
		spec.PropSet[i].Type = properties.Type
	}
	contents, fault := r.retrieve(spec)
	if fault != nil {
		return fault
	}
	if first {
		f.objects, f.missing = map[types.ManagedObjectReference]properties{}, map[types.ManagedObjectReference]bool{}
	}
	f.findMissing(r, update)
	before := f.selected
	now := map[types.ManagedObjectReference]bool{}
	f.selected = nil
	for _, content := range contents {
		now[content.Obj] = true
		f.selected = append(f.selected, content.Obj)
	}
	for _, ref := range before {
		if _, told := f.objects[ref]; told && !now[ref] {
			delete(f.objects, ref)
			leave := types.ObjectUpdate{Kind: types.ObjectUpdateKindLeave, Obj: ref}
			update.ObjectSet = append(update.ObjectSet, leave)
		}
	}
	return nil
}

func (f *filterMirror) findMissing(r *reader, update *types.PropertyFilterUpdate) {
	report := f.spec.ReportMissingObjectsInResults
	for _, root := range f.spec.ObjectSet {
		if r.exists(root.Obj) {
			delete(f.missing, root.Obj)
			continue
		}
		if !f.missing[root.Obj] && report != nil && *report {
			fault := &types.ManagedObjectNotFound{Obj: root.Obj}
			update.MissingSet = append(update.MissingSet, types.MissingObject{
				Obj: root.Obj, Fault: types.LocalizedMethodFault{Fault: fault, LocalizedMessage: describe(fault)},
			})
		}
		f.missing[root.Obj] = true
	}
}

// readObjects reads objects and tells what is new.
func (f *filterMirror) readObjects(
	r *reader, refs []types.ManagedObjectReference, update *types.PropertyFilterUpdate,
) types.BaseMethodFault {
	spec := types.PropertyFilterSpec{PropSet: f.spec.PropSet, ReportMissingObjectsInResults: types.NewBool(true)}
	for _, ref := range refs {
		spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: ref})
	}
	contents, fault := r.retrieve(spec)
	if fault != nil {
		return fault
	}
	for _, content := range contents {
		before, known := f.objects[content.Obj]
		now := properties{}
		for _, property := range content.PropSet {
			now[property.Name] = property.Val
		}
		f.objects[content.Obj] = now
		object := types.ObjectUpdate{Kind: types.ObjectUpdateKindModify, Obj: content.Obj}
		if !known {
			object.Kind, object.MissingSet = types.ObjectUpdateKindEnter, content.MissingSet
		}
		object.ChangeSet = difference(before, now, content.PropSet)
		if !known || len(object.ChangeSet) > 0 {
			update.ObjectSet = append(update.ObjectSet, object)
		}
	}
	return nil
}

// difference lists the properties that have changed, in the order they were read, and those that are not set any more.
func difference(before, now properties, order []types.DynamicProperty) []types.PropertyChange {
	var changed []types.PropertyChange
	for _, property := range order {
		if old, known := before[property.Name]; !known || !reflect.DeepEqual(old, property.Val) {
			changed = append(changed, types.PropertyChange{
				Op: types.PropertyChangeOpAssign, Name: property.Name, Val: property.Val,
			})
		}
	}
	for name := range before {
		if _, set := now[name]; !set {
			changed = append(changed, types.PropertyChange{Op: types.PropertyChangeOpAssign, Name: name})
		}
	}
	return changed
}
