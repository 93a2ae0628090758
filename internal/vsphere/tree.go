package vsphere

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// Managed object types as they appear in references and property specs.
const (
	typeDatacenter      = "Datacenter"
	typeFolder          = "Folder"
	typeComputeResource = "ComputeResource"
	typeCluster         = "ClusterComputeResource"
	typeHost            = "HostSystem"
	typePool            = "ResourcePool"
	typeVApp            = "VirtualApp"
	typeDatastore       = "Datastore"
	typePod             = "StoragePod"
	typeNetwork         = "Network"
	typePortgroup       = "DistributedVirtualPortgroup"
	typeOpaque          = "OpaqueNetwork"
	typeSwitch          = "DistributedVirtualSwitch"
	typeVM              = "VirtualMachine"
)

// treeProperties are the properties read of each type of inventory object. Paths through configurationEx are not
// possible: its declared type has no drsConfig, and vCenter refuses what a simulator accepts.
var treeProperties = map[string][]types.PropertySpec{
	typeDatacenter: {{Type: typeDatacenter, PathSet: []string{"name", "parent", "vmFolder"}}},
	typeFolder: {
		{Type: typeFolder, PathSet: []string{"name", "parent", "childType"}},
	},
	typeComputeResource: {
		{Type: typeComputeResource, PathSet: []string{"name", "parent", "host", "resourcePool", "summary"}},
		{Type: typeCluster, PathSet: []string{"name", "parent", "host", "resourcePool", "summary", "configurationEx"}},
	},
	typeHost: {{Type: typeHost, PathSet: []string{
		"name", "parent", "runtime.connectionState", "runtime.inMaintenanceMode",
	}}},
	typePool: {{Type: typePool, PathSet: []string{"name", "parent", "owner"}}},
	typeDatastore: {{Type: typeDatastore, PathSet: []string{
		"name", "parent", "host", "summary.type", "summary.capacity", "summary.freeSpace", "summary.accessible",
		"summary.maintenanceMode",
	}}},
	typeNetwork: {
		{Type: typeNetwork, PathSet: []string{"name", "parent", "host"}},
		{Type: typeOpaque, PathSet: []string{"name", "parent", "host", "summary"}},
		{Type: typePortgroup, PathSet: []string{
			"name", "parent", "host", "key", "tag", "config.distributedVirtualSwitch", "config.defaultPortConfig",
			"config.uplink", "config.backingType",
		}},
	},
	typeSwitch: {{Type: typeSwitch, PathSet: []string{"name", "parent", "uuid"}}},
}

// allKinds are the types that make up a whole tree.
var allKinds = []string{
	typeDatacenter, typeFolder, typeComputeResource, typeHost, typePool, typeDatastore, typeNetwork, typeSwitch,
}

// tree is the inventory at one instant, without virtual machines.
type tree struct {
	nodes map[types.ManagedObjectReference]*node
}

// node is one object of the inventory.
type node struct {
	ref types.ManagedObjectReference
	// raw is the name as vCenter has it, with %2f, %5c and %25; name is decoded.
	raw, name string
	parent    *types.ManagedObjectReference
	props     props
	tree      *tree
}

var nameDecoder = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%25", "%")

func decodeName(raw string) string { return nameDecoder.Replace(raw) }

func newTree(objects []object) *tree {
	t := &tree{nodes: make(map[types.ManagedObjectReference]*node, len(objects))}
	for _, o := range objects {
		raw := prop[string](o.props, "name")
		t.nodes[o.ref] = &node{
			ref: o.ref, raw: raw, name: decodeName(raw), parent: refOf(o.props, "parent"), props: o.props, tree: t,
		}
	}
	return t
}

// readTree reads the inventory objects of the given types, which have to include those that make up their paths.
func (s *Session) readTree(ctx context.Context, kinds ...string) (*tree, error) {
	var properties []types.PropertySpec
	for _, kind := range kinds {
		properties = append(properties, treeProperties[kind]...)
	}
	objects, err := s.retrieveView(ctx, s.content.RootFolder, kinds, properties)
	if err != nil {
		return nil, s.newFaultError("read inventory", "", err)
	}
	return newTree(objects), nil
}

// path is the full inventory path, such as "/dc-north/host/prod-a".
func (n *node) path() string {
	parts := []string{n.raw}
	// The bound is for a tree that was changed while it was read.
	for parent, depth := n.up(), 0; parent != nil && depth < 64; parent, depth = parent.up(), depth+1 {
		parts = append(parts, parent.raw)
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}

func (n *node) up() *node {
	if n.parent == nil {
		return nil
	}
	return n.tree.nodes[*n.parent]
}

// datacenter is the datacenter that holds the object, or nil.
func (n *node) datacenter() *node {
	for at, depth := n, 0; at != nil && depth < 64; at, depth = at.up(), depth+1 {
		if at.ref.Type == typeDatacenter {
			return at
		}
	}
	return nil
}

// of returns the nodes of the given types, sorted by path.
func (t *tree) of(kinds ...string) []*node {
	var found []*node
	for _, n := range t.nodes {
		if slices.Contains(kinds, n.ref.Type) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b *node) int { return strings.Compare(a.path(), b.path()) })
	return found
}

func (t *tree) path(ref *types.ManagedObjectReference) string {
	if ref == nil || t == nil {
		return ""
	}
	if n := t.nodes[*ref]; n != nil {
		return n.path()
	}
	return ""
}

// Types that are one kind of thing to a person.
var (
	computeTypes = []string{typeComputeResource, typeCluster}
	poolTypes    = []string{typePool, typeVApp}
	networkTypes = []string{typeNetwork, typePortgroup, typeOpaque}
	switchTypes  = []string{typeSwitch, "VmwareDistributedVirtualSwitch"}
)

// vmFolders are the folders for virtual machines, without the hidden root folder "vm" of each datacenter.
func (t *tree) vmFolders() []*node {
	var found []*node
	for _, n := range t.of(typeFolder) {
		if n.datacenter() == nil || n.isVMRoot() {
			continue
		}
		if slices.Contains(prop[types.ArrayOfString](n.props, "childType").String, typeVM) {
			found = append(found, n)
		}
	}
	return found
}

func (n *node) isVMRoot() bool {
	datacenter := n.datacenter()
	if datacenter == nil {
		return false
	}
	root := refOf(datacenter.props, "vmFolder")
	return root != nil && *root == n.ref
}

// hosts are the hosts of a compute cluster.
func (n *node) hosts() []*node {
	var hosts []*node
	for _, ref := range refsOf(n.props, "host") {
		if host := n.tree.nodes[ref]; host != nil {
			hosts = append(hosts, host)
		}
	}
	slices.SortFunc(hosts, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return hosts
}

// usable tells whether a host can take machines.
func (n *node) usable() bool {
	state := prop[types.HostSystemConnectionState](n.props, "runtime.connectionState")
	return state == types.HostSystemConnectionStateConnected && !prop[bool](n.props, "runtime.inMaintenanceMode")
}

// mountedOn are the hosts that have a datastore mounted and can reach it.
func (n *node) mountedOn() map[types.ManagedObjectReference]bool {
	mounted := map[types.ManagedObjectReference]bool{}
	for _, mount := range prop[types.ArrayOfDatastoreHostMount](n.props, "host").DatastoreHostMount {
		info := mount.MountInfo
		if isNotFalse(info.Mounted) && isNotFalse(info.Accessible) {
			mounted[mount.Key] = true
		}
	}
	return mounted
}

func isNotFalse(value *bool) bool { return value == nil || *value }

func namesOf(nodes []*node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.name
	}
	slices.Sort(names)
	return names
}

// cache keeps the tree last read, for names and references. Whoever meets a reference it does not have, or gets
// ManagedObjectNotFound for one it has, reads again.
type cache struct {
	mutex     sync.Mutex
	tree      *tree
	templates map[string]*template // by full path
}

// tree returns the cached inventory, or reads it.
func (s *Session) inventoryTree(ctx context.Context) (*tree, error) {
	s.cache.mutex.Lock()
	known := s.cache.tree
	s.cache.mutex.Unlock()
	if known != nil {
		return known, nil
	}
	return s.freshTree(ctx)
}

// freshTree reads the inventory and keeps it.
func (s *Session) freshTree(ctx context.Context) (*tree, error) {
	t, err := s.readTree(ctx, allKinds...)
	if err != nil {
		return nil, err
	}
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	s.cache.tree = t
	return t, nil
}

// forget drops what the cache holds.
func (s *Session) forget() {
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	s.cache.tree, s.cache.templates = nil, nil
}

// describe names an object for a person, from the cache alone: its path where known, else its type and id.
func (s *Session) describe(ref types.ManagedObjectReference) string {
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	if ref == s.content.RootFolder {
		return "/"
	}
	if path := s.cache.tree.path(&ref); path != "" {
		return path
	}
	return fmt.Sprintf("%s %s", ref.Type, ref.Value)
}

// describeOr is describe with the path to be given for a VM, which the inventory's cache does not hold.
func (s *Session) describeOr(ref types.ManagedObjectReference, vm string) string {
	if ref.Type == typeVM && vm != "" {
		return vm
	}
	return s.describe(ref)
}
