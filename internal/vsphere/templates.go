package vsphere

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// kubernetesProperty is the OVF property in which image-builder templates say which Kubernetes they carry.
const kubernetesProperty = "KUBERNETES_SEMVER"

// templatePaths are read of templates only, never of all VMs: the devices alone are several KB each.
var templatePaths = []string{
	"name", "parent", "config.template", "config.guestId", "config.version", pathDevices, "config.vAppConfig.property",
	"snapshot", "datastore", "config.files.vmPathName",
}

// template is a VM template with what a clone needs of it.
type template struct {
	ref     types.ManagedObjectReference
	path    string
	name    string
	devices []types.BaseVirtualDevice
	// snapshot is the current snapshot, from which linked clones are made, or nil.
	snapshot     *types.ManagedObjectReference
	snapshotName string
	datastores   []string
	isTemplate   bool
	props        props
}

// vmTraversal selects, from a folder, datacenter or the root, all VM and host folders with the VMs and compute clusters
// in them. It needs one call and no view: a container view would walk every host and resource pool to find the same VMs.
func vmTraversal(from types.ManagedObjectReference) types.ObjectSpec {
	again := []types.BaseSelectionSpec{
		&types.SelectionSpec{Name: "children"}, &types.SelectionSpec{Name: "datacenterVMs"},
		&types.SelectionSpec{Name: "datacenterHosts"},
	}
	return types.ObjectSpec{Obj: from, SelectSet: []types.BaseSelectionSpec{
		&types.TraversalSpec{
			SelectionSpec: types.SelectionSpec{Name: "children"}, Type: typeFolder, Path: "childEntity", SelectSet: again,
		},
		&types.TraversalSpec{
			SelectionSpec: types.SelectionSpec{Name: "datacenterVMs"}, Type: typeDatacenter, Path: "vmFolder", SelectSet: again,
		},
		&types.TraversalSpec{
			SelectionSpec: types.SelectionSpec{Name: "datacenterHosts"}, Type: typeDatacenter, Path: "hostFolder",
			SelectSet: again,
		},
	}}
}

// vmIndex reads one property of all VMs below a folder or datacenter, with the datacenters, folders and compute
// clusters around them: some 300 bytes for each VM, so 3 MB for 10,000.
func (s *Session) vmIndex(
	ctx context.Context, from types.ManagedObjectReference, paths ...string,
) (*tree, []object, error) {
	objects, err := s.retrieve(ctx, types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{vmTraversal(from)},
		PropSet: []types.PropertySpec{
			{Type: typeDatacenter, PathSet: []string{"name", "parent", "vmFolder"}},
			{Type: typeFolder, PathSet: []string{"name", "parent"}},
			{Type: typeComputeResource, PathSet: []string{"name", "parent"}},
			{Type: typeVM, PathSet: paths},
		},
	})
	if err != nil {
		return nil, nil, s.newFaultError("read virtual machines", "", err)
	}
	var places, vms []object
	for _, o := range objects {
		switch {
		case o.ref.Type == typeVM:
			vms = append(vms, o)
		case o.ref != s.content.RootFolder:
			places = append(places, o)
		}
	}
	return newTree(places), vms, nil
}

// inventoryTemplates reads templates in two calls: which VMs are templates, and then those templates.
func (s *Session) inventoryTemplates(ctx context.Context, q inventory.Query) (inventory.Objects, error) {
	t, vms, err := s.vmIndex(ctx, s.content.RootFolder, "config.template")
	if err != nil {
		return inventory.Objects{}, err
	}
	narrow, err := t.scope(q)
	if err != nil {
		return inventory.Objects{}, err
	}
	var refs []types.ManagedObjectReference
	for _, vm := range vms {
		if prop[bool](vm.props, "config.template") {
			refs = append(refs, vm.ref)
		}
	}
	templates, err := s.readTemplates(ctx, t, refs)
	if err != nil {
		return inventory.Objects{}, err
	}
	out := []inventory.Template{}
	for _, found := range templates {
		n := &node{
			ref: found.ref, raw: prop[string](found.props, "name"), name: found.name, tree: t,
			parent: refOf(found.props, "parent"),
		}
		if narrow.datacenter != nil && (n.datacenter() == nil || n.datacenter().ref != narrow.datacenter.ref) {
			continue
		}
		out = append(out, inventory.Template{
			Object:            n.object(),
			KubernetesVersion: found.kubernetesVersion(),
			GuestID:           prop[string](found.props, "config.guestId"),
			HardwareVersion:   prop[string](found.props, "config.version"),
			Disks:             found.disks(),
			Snapshot:          found.snapshotName,
			Datastores:        found.datastores,
		})
	}
	return inventory.Objects{Templates: out}, nil
}

// readTemplates reads templates, and the names of the datastores they lie on, in one call; sorted by path.
func (s *Session) readTemplates(
	ctx context.Context, t *tree, refs []types.ManagedObjectReference,
) ([]*template, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	spec := objectsSpec(refs, templatePaths...)
	for i := range spec.ObjectSet {
		spec.ObjectSet[i].SelectSet = []types.BaseSelectionSpec{&types.TraversalSpec{Type: typeVM, Path: "datastore"}}
		spec.ObjectSet[i].Skip = types.NewBool(false)
	}
	spec.PropSet = append(spec.PropSet, types.PropertySpec{Type: typeDatastore, PathSet: []string{"name"}})
	objects, err := s.retrieve(ctx, spec)
	if err != nil {
		return nil, s.newFaultError("read templates", "", err)
	}
	datastores := map[types.ManagedObjectReference]string{}
	for _, o := range objects {
		if o.ref.Type == typeDatastore {
			datastores[o.ref] = decodeName(prop[string](o.props, "name"))
		}
	}
	var templates []*template
	for _, o := range objects {
		if o.ref.Type == typeVM {
			templates = append(templates, newTemplate(t, o, datastores))
		}
	}
	slices.SortFunc(templates, func(a, b *template) int { return strings.Compare(a.path, b.path) })
	return templates, nil
}

func newTemplate(t *tree, o object, datastores map[types.ManagedObjectReference]string) *template {
	raw := prop[string](o.props, "name")
	n := &node{ref: o.ref, raw: raw, parent: refOf(o.props, "parent"), tree: t}
	out := &template{
		ref: o.ref, path: n.path(), name: decodeName(raw), props: o.props, datastores: []string{},
		devices:    prop[types.ArrayOfVirtualDevice](o.props, pathDevices).VirtualDevice,
		isTemplate: prop[bool](o.props, "config.template"),
	}
	for _, ref := range refsOf(o.props, "datastore") {
		out.datastores = append(out.datastores, datastores[ref])
	}
	slices.Sort(out.datastores)
	snapshots := prop[types.VirtualMachineSnapshotInfo](o.props, "snapshot")
	if snapshots.CurrentSnapshot != nil {
		out.snapshot = snapshots.CurrentSnapshot
		out.snapshotName = snapshotName(snapshots.RootSnapshotList, *snapshots.CurrentSnapshot)
	}
	return out
}

func snapshotName(trees []types.VirtualMachineSnapshotTree, wanted types.ManagedObjectReference) string {
	for _, t := range trees {
		if t.Snapshot == wanted {
			return t.Name
		}
		if name := snapshotName(t.ChildSnapshotList, wanted); name != "" {
			return name
		}
	}
	return ""
}

func (t *template) disks() []inventory.Disk {
	out := []inventory.Disk{}
	for _, disk := range virtualDisks(t.devices) {
		out = append(out, inventory.Disk{Key: disk.Key, CapacityGiB: capacityGiB(disk)})
	}
	return out
}

// virtualDisks are the disks among devices, by device key.
func virtualDisks(devices []types.BaseVirtualDevice) []*types.VirtualDisk {
	var disks []*types.VirtualDisk
	for _, device := range devices {
		if disk, ok := device.(*types.VirtualDisk); ok {
			disks = append(disks, disk)
		}
	}
	slices.SortFunc(disks, func(a, b *types.VirtualDisk) int { return int(a.Key) - int(b.Key) })
	return disks
}

func capacityGiB(disk *types.VirtualDisk) int {
	size := disk.CapacityInBytes
	if size == 0 {
		size = disk.CapacityInKB * 1024
	}
	return int((size + gib - 1) / gib)
}

// versionInName finds a Kubernetes version in a template's name. Kubernetes' major version is 1, so that the "24.04.1"
// of an operating system is not taken for one.
var versionInName = regexp.MustCompile(`(?:^|[^0-9.])v?(1\.[0-9]{1,3}\.[0-9]{1,3})(?:$|[^0-9.])`)

// kubernetesVersion is the version the template's OVF property says, else the last one in its name, else "".
func (t *template) kubernetesVersion() string {
	for _, property := range prop[types.ArrayOfVAppPropertyInfo](t.props, "config.vAppConfig.property").VAppPropertyInfo {
		if property.Id != kubernetesProperty && property.Label != kubernetesProperty {
			continue
		}
		version := property.Value
		if version == "" {
			version = property.DefaultValue
		}
		if version != "" {
			return "v" + strings.TrimPrefix(version, "v")
		}
	}
	found := versionInName.FindAllStringSubmatch(t.name, -1)
	if len(found) == 0 {
		return ""
	}
	return "v" + found[len(found)-1][1]
}
