package vsphere

import (
	"context"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// props are properties of one object by path, as the property collector sends them.
type props map[string]any

// object is one managed object with the properties that were asked for.
type object struct {
	ref   types.ManagedObjectReference
	props props
}

// prop returns a property, or the zero value where it is unset or unreadable.
func prop[T any](p props, path string) T {
	if pointer, ok := p[path].(*T); ok && pointer != nil {
		return *pointer
	}
	value, _ := p[path].(T)
	return value
}

// refOf returns a property that is a reference, or nil.
func refOf(p props, path string) *types.ManagedObjectReference {
	if ref := prop[types.ManagedObjectReference](p, path); ref.Value != "" {
		return &ref
	}
	return nil
}

func refsOf(p props, path string) []types.ManagedObjectReference {
	return prop[types.ArrayOfManagedObjectReference](p, path).ManagedObjectReference
}

// extra is the property path of one key of extraConfig. Asking for the whole of extraConfig would send the machines'
// user-data, 60 KB each, at every change.
func extra(key string) string { return `config.extraConfig["` + key + `"]` }

// extraValue is the text under an extraConfig key.
func extraValue(p props, key string) string {
	option := prop[types.OptionValue](p, extra(key))
	text, _ := option.Value.(string)
	return text
}

// objectSpec asks for properties of one object.
func objectSpec(ref types.ManagedObjectReference, paths ...string) types.PropertyFilterSpec {
	return objectsSpec([]types.ManagedObjectReference{ref}, paths...)
}

// objectsSpec asks for properties of objects of one type. Objects that do not exist are left out of the answer.
func objectsSpec(refs []types.ManagedObjectReference, paths ...string) types.PropertyFilterSpec {
	spec := types.PropertyFilterSpec{ReportMissingObjectsInResults: types.NewBool(true)}
	for _, ref := range refs {
		spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: ref})
	}
	if len(refs) > 0 {
		spec.PropSet = []types.PropertySpec{{Type: refs[0].Type, PathSet: paths}}
	}
	return spec
}

// retrieve reads properties in one call, and one more for each further page where vCenter pages.
func (s *Session) retrieve(ctx context.Context, specs ...types.PropertyFilterSpec) ([]object, error) {
	response, err := methods.RetrievePropertiesEx(ctx, s.vim, &types.RetrievePropertiesEx{
		This: s.content.PropertyCollector, SpecSet: specs,
	})
	if err != nil {
		return nil, err
	}
	result := response.Returnval
	if result == nil {
		return nil, nil
	}
	objects := appendObjects(nil, result.Objects)
	for token := result.Token; token != ""; {
		page, err := methods.ContinueRetrievePropertiesEx(ctx, s.vim, &types.ContinueRetrievePropertiesEx{
			This: s.content.PropertyCollector, Token: token,
		})
		if err != nil {
			return nil, err
		}
		objects = appendObjects(objects, page.Returnval.Objects)
		token = page.Returnval.Token
	}
	return objects, nil
}

func appendObjects(objects []object, contents []types.ObjectContent) []object {
	for _, content := range contents {
		if isGone(content) {
			continue
		}
		p := make(props, len(content.PropSet))
		for _, property := range content.PropSet {
			p[property.Name] = property.Val
		}
		objects = append(objects, object{ref: content.Obj, props: p})
	}
	return objects
}

func isGone(content types.ObjectContent) bool {
	for _, missing := range content.MissingSet {
		if _, ok := missing.Fault.Fault.(*types.ManagedObjectNotFound); ok {
			return true
		}
	}
	return false
}

// viewAttempts is how often a read over a view is made when the session, and with it the view, is lost in between.
const viewAttempts = 2

// retrieveView reads properties of all objects of some types below a container: three calls, whatever the number of
// objects.
func (s *Session) retrieveView(
	ctx context.Context, container types.ManagedObjectReference, kinds []string, properties []types.PropertySpec,
) ([]object, error) {
	for attempt := 1; ; attempt++ {
		seen := s.generation.Load()
		objects, err := s.retrieveViewOnce(ctx, container, kinds, properties)
		if err == nil || attempt == viewAttempts || s.generation.Load() == seen {
			return objects, err
		}
	}
}

func (s *Session) retrieveViewOnce(
	ctx context.Context, container types.ManagedObjectReference, kinds []string, properties []types.PropertySpec,
) ([]object, error) {
	created, err := methods.CreateContainerView(ctx, s.vim, &types.CreateContainerView{
		This: *s.content.ViewManager, Container: container, Type: kinds, Recursive: true,
	})
	if err != nil {
		return nil, err
	}
	view := created.Returnval
	objects, err := s.retrieve(ctx, types.PropertyFilterSpec{
		PropSet:   properties,
		ObjectSet: []types.ObjectSpec{viewSpec(view)},
	})
	// A view that stays ends with the session, so a failed removal is no reason to lose the answer.
	_, _ = methods.DestroyView(ctx, s.vim, &types.DestroyView{This: view})
	return objects, err
}

// viewSpec selects the objects of a view.
func viewSpec(view types.ManagedObjectReference) types.ObjectSpec {
	return types.ObjectSpec{
		Obj: view, Skip: types.NewBool(true),
		SelectSet: []types.BaseSelectionSpec{&types.TraversalSpec{Type: view.Type, Path: "view"}},
	}
}
