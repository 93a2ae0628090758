package vsphere

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Target says whose machines are meant and where they should be.
type Target struct {
	GatewayID, ClusterID string
	// Datacenter is a name or path, Folder a path below the datacenter's vm folder.
	Datacenter, Folder string
	// KnownUUIDs are instance UUIDs that are looked for in the whole vCenter when they are not in the folder.
	KnownUUIDs []string
}

// manyUnknown is from how many machines outside the folder on one read of all VMs is cheaper than a search for each.
const manyUnknown = 8

// machinePaths are the properties that make up a machine.
var machinePaths = []string{
	"name", "parent", "config.instanceUuid", "config.files.vmPathName",
	"config.hardware.numCPU", "config.hardware.memoryMB",
	pathDevices, extra(cluster.OwnerKey), extra(cluster.NodeKey), extra(cluster.JoinedKey),
	extra(cluster.ProgressKey), "runtime.powerState", "runtime.connectionState", "runtime.host", "resourcePool",
	"datastore", "guest.ipAddress",
}

// place is where a cluster's machines should be. The folder is nil when it does not exist.
type place struct {
	datacenter, folder *types.ManagedObjectReference
	path               string // of the folder, whether it exists or not
	// subfolders are the folders directly in the folder, as they were when it was read.
	subfolders []object
}

// Machines reads a cluster's machines, wherever they are: one SOAP call while the session knows the inventory, four at
// first, and a few more for machines that have left the folder. It works when the folder or the datacenter is gone.
// Created of the facts stays empty: vCenter does not say who made a folder.
func (s *Session) Machines(ctx context.Context, t Target) (cluster.FolderFacts, []cluster.Machine, error) {
	at, objects, err := s.readFolder(ctx, t)
	if err != nil {
		return cluster.FolderFacts{}, nil, err
	}
	elsewhere, err := s.findKnown(ctx, t, objects)
	if err != nil {
		return cluster.FolderFacts{}, nil, err
	}
	objects = append(objects, elsewhere...)
	known, err := s.treeFor(ctx, objects)
	if err != nil {
		return cluster.FolderFacts{}, nil, err
	}
	facts, machines := known.machines(t, at, objects)
	return facts, machines, nil
}

// machines sorts VMs into the cluster's machines and the names others have taken.
func (t *tree) machines(target Target, at place, vms []object) (cluster.FolderFacts, []cluster.Machine) {
	facts := cluster.FolderFacts{
		Exists: at.folder != nil, TakenNames: map[string]string{}, Subfolders: map[string]string{},
	}
	for _, folder := range at.subfolders {
		name := prop[string](folder.props, "name")
		facts.Subfolders[decodeName(name)] = at.path + "/" + name
	}
	machines := []cluster.Machine{}
	for _, vm := range vms {
		parent := refOf(vm.props, "parent")
		inFolder := at.folder != nil && parent != nil && *parent == *at.folder
		machine, ours := t.machine(vm)
		if ours && machine.Gateway == target.GatewayID && machine.Cluster == target.ClusterID {
			machine.InFolder = inFolder
			machines = append(machines, machine)
			continue
		}
		if inFolder && !isBeingCreated(vm) {
			facts.TakenNames[decodeName(prop[string](vm.props, "name"))] = t.vmPath(vm)
		}
	}
	slices.SortFunc(machines, func(a, b cluster.Machine) int { return strings.Compare(a.Path+a.Moid, b.Path+b.Moid) })
	return facts, machines
}

// isBeingCreated tells that a VM has no configuration yet, as one that is being cloned. It may be ours.
func isBeingCreated(vm object) bool {
	state := prop[types.VirtualMachineConnectionState](vm.props, "runtime.connectionState")
	return prop[string](vm.props, "config.instanceUuid") == "" &&
		(state == types.VirtualMachineConnectionStateConnected || state == "")
}

// readFolder finds the folder and reads the VMs and the folders directly in it.
func (s *Session) readFolder(ctx context.Context, t Target) (place, []object, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		at, err := s.findPlace(ctx, t.Datacenter, t.Folder)
		if err != nil || at.folder == nil {
			return at, nil, err
		}
		objects, err := s.retrieve(ctx, folderSpec(*at.folder))
		if err != nil {
			return place{}, nil, s.newFaultError("read machines", at.path, err)
		}
		if isWhereItWas(s.cachedNode(*at.folder), objects) || attempt == attempts {
			at.subfolders = onlyOf(typeFolder, objects, *at.folder)
			return at, onlyOf(typeVM, objects), nil
		}
		// The folder was deleted, renamed or moved since the inventory was read.
		s.forget()
	}
}

// folderSpec reads a folder and the VMs and folders directly in it.
func folderSpec(folder types.ManagedObjectReference) types.PropertyFilterSpec {
	return types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		ObjectSet: []types.ObjectSpec{{Obj: folder, Skip: types.NewBool(false), SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{Type: typeFolder, Path: "childEntity"},
		}}},
		PropSet: []types.PropertySpec{
			{Type: typeFolder, PathSet: []string{"name", "parent"}}, {Type: typeVM, PathSet: machinePaths},
		},
	}
}

func (s *Session) cachedNode(ref types.ManagedObjectReference) *node {
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	if s.cache.tree == nil {
		return nil
	}
	return s.cache.tree.nodes[ref]
}

func isWhereItWas(known *node, objects []object) bool {
	if known == nil {
		return false
	}
	for _, o := range objects {
		if o.ref == known.ref {
			return prop[string](o.props, "name") == known.raw &&
				orZero(refOf(o.props, "parent")) == orZero(known.parent)
		}
	}
	return false
}

// onlyOf are the objects of one type, without those that are left out.
func onlyOf(kind string, objects []object, without ...types.ManagedObjectReference) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(o object) bool {
		return o.ref.Type != kind || slices.Contains(without, o.ref)
	})
}

// findPlace finds a datacenter and a folder in it; one that does not exist is no error.
func (s *Session) findPlace(ctx context.Context, datacenter, folder string) (place, error) {
	s.cache.mutex.Lock()
	cached := s.cache.tree
	s.cache.mutex.Unlock()
	if cached != nil {
		if at, err := cached.place(datacenter, folder); err == nil && at.folder != nil {
			return at, nil
		}
	}
	fresh, err := s.freshTree(ctx)
	if err != nil {
		return place{}, err
	}
	return fresh.place(datacenter, folder)
}

func (t *tree) place(datacenter, folder string) (place, error) {
	found, err := t.findDatacenter(datacenter)
	if err != nil {
		if _, missing := err.(*NotFoundError); missing { //nolint:errorlint // exactly what it returns
			return place{}, nil
		}
		return place{}, err
	}
	at := place{datacenter: &found.ref, path: folderPath(found, folder)}
	for _, n := range t.of(typeFolder) {
		if n.path() == at.path {
			at.folder = &n.ref
		}
	}
	return at, nil
}

// folderPath is the full path of a folder given by its path below the datacenter's vm folder, or by its full path.
func folderPath(datacenter *node, folder string) string {
	root := datacenter.path() + "/vm"
	if vm := datacenter.tree.nodes[orZero(refOf(datacenter.props, "vmFolder"))]; vm != nil {
		root = vm.path()
	}
	if folder == root || strings.HasPrefix(folder, root+"/") {
		return strings.TrimRight(folder, "/")
	}
	if folder = strings.Trim(folder, "/"); folder == "" {
		return root
	}
	return root + "/" + folder
}

// findKnown finds the known machines that are not among those read.
func (s *Session) findKnown(ctx context.Context, t Target, read []object) ([]object, error) {
	seen := map[string]bool{}
	for _, o := range read {
		seen[prop[string](o.props, "config.instanceUuid")] = true
	}
	var missing []string
	for _, uuid := range t.KnownUUIDs {
		if !seen[uuid] {
			missing = append(missing, uuid)
		}
	}
	refs, err := s.findByUUID(ctx, missing)
	if err != nil {
		return nil, err
	}
	refs = slices.DeleteFunc(refs, func(ref types.ManagedObjectReference) bool {
		return slices.ContainsFunc(read, func(o object) bool { return o.ref == ref })
	})
	return s.readMachines(ctx, refs)
}

func (s *Session) readMachines(ctx context.Context, refs []types.ManagedObjectReference) ([]object, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	objects, err := s.retrieve(ctx, objectsSpec(refs, machinePaths...))
	if err != nil {
		return nil, s.newFaultError("read machines", "", err)
	}
	return objects, nil
}

// findByUUID finds VMs by instance UUID: one call for each, or one read of all VMs where they are many.
func (s *Session) findByUUID(ctx context.Context, uuids []string) ([]types.ManagedObjectReference, error) {
	if len(uuids) > manyUnknown {
		_, vms, err := s.vmIndex(ctx, s.content.RootFolder, "config.instanceUuid")
		if err != nil {
			return nil, err
		}
		var refs []types.ManagedObjectReference
		for _, vm := range vms {
			if slices.Contains(uuids, prop[string](vm.props, "config.instanceUuid")) {
				refs = append(refs, vm.ref)
			}
		}
		return refs, nil
	}
	found := make([][]types.ManagedObjectReference, len(uuids))
	group, ctx := errgroup.WithContext(ctx)
	for i, uuid := range uuids {
		group.Go(func() error {
			response, err := methods.FindAllByUuid(ctx, s.vim, &types.FindAllByUuid{
				This: *s.content.SearchIndex, Uuid: uuid, VmSearch: true, InstanceUuid: types.NewBool(true),
			})
			if err != nil {
				return s.newFaultError("find machine by instance UUID "+uuid, "", err)
			}
			found[i] = response.Returnval
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// Owned reads all machines in the vCenter whose owner records fit, with one read of all VMs' owner records and one of the
// machines found.
func (s *Session) Owned(ctx context.Context, fits func(cluster.Owner) bool) ([]cluster.Machine, error) {
	_, vms, err := s.vmIndex(ctx, s.content.RootFolder, extra(cluster.OwnerKey))
	if err != nil {
		return nil, err
	}
	var refs []types.ManagedObjectReference
	for _, vm := range vms {
		owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
		if err == nil && fits(owner) {
			refs = append(refs, vm.ref)
		}
	}
	objects, err := s.readMachines(ctx, refs)
	if err != nil {
		return nil, err
	}
	known, err := s.treeFor(ctx, objects)
	if err != nil {
		return nil, err
	}
	machines := []cluster.Machine{}
	for _, o := range objects {
		if machine, ours := known.machine(o); ours && fits(machine.Owner) {
			machine.InFolder = true
			machines = append(machines, machine)
		}
	}
	slices.SortFunc(machines, func(a, b cluster.Machine) int { return strings.Compare(a.Path+a.Moid, b.Path+b.Moid) })
	return machines, nil
}

// treeFor returns an inventory that knows every object the VMs refer to.
func (s *Session) treeFor(ctx context.Context, vms []object) (*tree, error) {
	known, err := s.inventoryTree(ctx)
	if err != nil {
		return nil, err
	}
	if known.knows(vms) {
		return known, nil
	}
	return s.freshTree(ctx)
}

func (t *tree) knows(vms []object) bool {
	for _, vm := range vms {
		refs := append(refsOf(vm.props, "datastore"), orZero(refOf(vm.props, "runtime.host")),
			orZero(refOf(vm.props, "resourcePool")), orZero(refOf(vm.props, "parent")))
		for _, ref := range refs {
			if ref.Value != "" && t.nodes[ref] == nil {
				return false
			}
		}
	}
	return true
}

func (t *tree) vmPath(vm object) string {
	return t.path(refOf(vm.props, "parent")) + "/" + prop[string](vm.props, "name")
}

// machine reads a VM as a machine; false when it carries no owner record of ours.
func (t *tree) machine(vm object) (cluster.Machine, bool) {
	owner, err := cluster.DecodeOwner(extraValue(vm.props, cluster.OwnerKey))
	if err != nil || owner.Version == 0 {
		return cluster.Machine{}, false
	}
	host := t.nodes[orZero(refOf(vm.props, "runtime.host"))]
	out := cluster.Machine{
		Owner:           owner,
		Name:            decodeName(prop[string](vm.props, "name")),
		Moid:            vm.ref.Value,
		UUID:            prop[string](vm.props, "config.instanceUuid"),
		Path:            t.vmPath(vm),
		PowerState:      string(prop[types.VirtualMachinePowerState](vm.props, "runtime.powerState")),
		ConnectionState: string(prop[types.VirtualMachineConnectionState](vm.props, "runtime.connectionState")),
		CPU:             int(prop[int32](vm.props, "config.hardware.numCPU")),
		MemoryMiB:       int(prop[int32](vm.props, "config.hardware.memoryMB")),
		ResourcePool:    t.path(refOf(vm.props, "resourcePool")),
		Datastore:       t.homeDatastore(vm),
		Progress:        parseProgress(extraValue(vm.props, cluster.ProgressKey)),
	}
	if host != nil {
		out.Host = host.name
		out.ComputeCluster = t.path(host.parent)
	}
	out.Joined = out.UUID != "" && extraValue(vm.props, cluster.JoinedKey) == out.UUID
	// A record that cannot be read counts as none; the node's metadata is then written again.
	_ = json.Unmarshal([]byte(extraValue(vm.props, cluster.NodeKey)), &out.Node)
	if address := prop[string](vm.props, "guest.ipAddress"); address != "" {
		out.Addresses = []string{address}
	}
	own, foreign := splitDisks(owner, vm.props)
	if len(own) > 0 {
		out.DiskGiB = capacityGiB(own[0])
	}
	out.ForeignDisks = foreign
	return out, true
}

// homeDatastore is the path of the datastore that holds the VM's own files.
func (t *tree) homeDatastore(vm object) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(prop[string](vm.props, "config.files.vmPathName"), "["), "]")
	for _, ref := range refsOf(vm.props, "datastore") {
		if n := t.nodes[ref]; n != nil && (n.raw == name || n.name == name) {
			return n.path()
		}
	}
	return ""
}
