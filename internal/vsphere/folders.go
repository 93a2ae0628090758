package vsphere

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// CreateFolder makes the missing parts of a folder's path below a datacenter's vm folder. It returns the full paths of
// those it made, outermost first; a part that somebody else makes at the same moment is not among them.
func (s *Session) CreateFolder(ctx context.Context, datacenter, folder string) ([]string, error) {
	for attempt := 1; ; attempt++ {
		created, err := s.createFolder(ctx, datacenter, folder)
		if Classify(err) != ClassGone || attempt == 2 {
			if len(created) > 0 {
				s.updates.folderMade()
			}
			return created, err
		}
		s.forget() // a parent has gone since the inventory was read
	}
}

func (s *Session) createFolder(ctx context.Context, datacenter, folder string) ([]string, error) {
	t, err := s.inventoryTree(ctx)
	if err != nil {
		return nil, err
	}
	found, err := t.findDatacenter(datacenter)
	if err != nil {
		if t, err = s.freshTree(ctx); err != nil {
			return nil, err
		}
		if found, err = t.findDatacenter(datacenter); err != nil {
			return nil, err
		}
	}
	var created []string
	parent := t.nodes[orZero(refOf(found.props, "vmFolder"))]
	if parent == nil {
		return nil, &NotFoundError{Kind: "folder", Name: folderPath(found, "")}
	}
	rest := strings.TrimPrefix(folderPath(found, folder), parent.path())
	for name := range strings.SplitSeq(strings.Trim(rest, "/"), "/") {
		if name == "" {
			continue
		}
		child := t.childFolder(parent, name)
		if child == nil {
			var made bool
			if child, made, err = s.makeFolder(ctx, parent, name); err != nil {
				return created, err
			}
			if made {
				created = append(created, child.path())
			}
			t = s.remember(child)
			child = t.nodes[child.ref]
		}
		parent = child
	}
	return created, nil
}

func (t *tree) childFolder(parent *node, name string) *node {
	for _, n := range t.nodes {
		if n.ref.Type == typeFolder && n.parent != nil && *n.parent == parent.ref && (n.raw == name || n.name == name) {
			return n
		}
	}
	return nil
}

// makeFolder makes one folder. When the answer is lost the second attempt tells: a folder that is there now is taken as
// made.
func (s *Session) makeFolder(ctx context.Context, parent *node, name string) (*node, bool, error) {
	path := parent.path() + "/" + name
	leave, err := s.making.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	child := &node{raw: name, name: decodeName(name), parent: &parent.ref, tree: parent.tree}
	child.props = props{"name": name, "parent": parent.ref, "childType": parent.props["childType"]}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		response, err := methods.CreateFolder(ctx, s.vim, &types.CreateFolder{This: parent.ref, Name: name})
		if err == nil {
			child.ref = response.Returnval
			return child, true, nil
		}
		if taken, ok := isFault[*types.DuplicateName](err); ok {
			if taken.Object.Type != typeFolder {
				return nil, false, s.newFaultError("create folder", path, err)
			}
			child.ref = taken.Object
			return child, attempt > 1, nil
		}
		if !isTransport(err) || attempt == attempts || ctx.Err() != nil {
			return nil, false, s.newFaultError("create folder", path, err)
		}
	}
}

// remember puts one node into the cached inventory.
func (s *Session) remember(n *node) *tree {
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	known := s.cache.tree
	if known == nil {
		known = n.tree
	}
	t := &tree{nodes: make(map[types.ManagedObjectReference]*node, len(known.nodes)+1)}
	for ref, old := range known.nodes {
		moved := *old
		moved.tree = t
		t.nodes[ref] = &moved
	}
	added := *n
	added.tree, added.props = t, maps.Clone(n.props)
	t.nodes[n.ref] = &added
	s.cache.tree = t
	return t
}

// DeleteFolder deletes an empty folder, given by its full path. One that does not exist is no error; one with anything in
// it, or into which this session is cloning, is left alone. vCenter knows no deletion of empty folders only: what others
// put into the folder between our look and the deletion goes with it, unless it runs.
func (s *Session) DeleteFolder(ctx context.Context, path string) error {
	for {
		unsure, err := s.deleteFolder(ctx, path)
		if !unsure || ctx.Err() != nil {
			return err
		}
	}
}

// deleteFolder looks and deletes once. Unsure is that whether it went through is for the inventory to say.
func (s *Session) deleteFolder(ctx context.Context, path string) (unsure bool, err error) {
	leave, err := s.making.enterAlone(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	t, err := s.freshTree(ctx)
	if err != nil {
		return false, err
	}
	var folder *node
	for _, n := range t.of(typeFolder) {
		if n.path() == strings.TrimRight(path, "/") {
			folder = n
		}
	}
	if folder == nil {
		return false, nil
	}
	children, err := s.childrenOf(ctx, folder.ref)
	if err != nil {
		return false, s.newFaultError("read folder", path, err)
	}
	children = append(children, s.making.in(folder.ref)...)
	if slices.Sort(children); len(children) > 0 {
		return false, &NotEmptyError{Path: path, Children: slices.Compact(children)}
	}
	err = s.run(ctx, "delete folder", path, func(ctx context.Context) (types.ManagedObjectReference, error) {
		response, err := methods.Destroy_Task(ctx, s.vim, &types.Destroy_Task{This: folder.ref})
		if err != nil {
			return types.ManagedObjectReference{}, err
		}
		return response.Returnval, nil
	})
	if Classify(err) == ClassGone {
		err = nil
	}
	s.forget()
	s.updates.folderGone(folder.ref)
	return isTransport(err) || errors.Is(err, errTaskLost), err
}

func (s *Session) childrenOf(ctx context.Context, folder types.ManagedObjectReference) ([]string, error) {
	objects, err := s.retrieve(ctx, types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		ObjectSet: []types.ObjectSpec{{Obj: folder, Skip: types.NewBool(true), SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{Type: typeFolder, Path: "childEntity"},
		}}},
		PropSet: []types.PropertySpec{{Type: "ManagedEntity", PathSet: []string{"name"}}},
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range objects {
		names = append(names, decodeName(prop[string](o.props, "name")))
	}
	slices.Sort(names)
	return names, nil
}
