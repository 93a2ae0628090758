package vsphere

import (
	"context"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

const (
	gib = 1 << 30
	mib = 1 << 20
)

// kindsFor are the object types whose properties make up the answer for a kind, paths included. Templates would need
// every VM's configuration in such a read; inventoryTemplates reads them otherwise.
var kindsFor = map[inventory.Kind][]string{
	inventory.KindDatacenters:     {typeDatacenter, typeFolder, typeComputeResource},
	inventory.KindComputeClusters: {typeDatacenter, typeFolder, typeComputeResource, typeHost},
	inventory.KindDatastores:      {typeDatacenter, typeFolder, typeComputeResource, typeHost, typeDatastore},
	inventory.KindNetworks:        {typeDatacenter, typeFolder, typeComputeResource, typeHost, typeNetwork, typeSwitch},
	inventory.KindResourcePools:   {typeDatacenter, typeFolder, typeComputeResource, typePool},
	inventory.KindFolders:         {typeDatacenter, typeFolder, typeComputeResource},
}

// Inventory reads the objects of one kind: three SOAP calls after login, two for templates, whatever the size of the
// inventory. Compute clusters cost one REST call more, and two for each tag not seen before. Objects are sorted by path;
// nothing found is an empty slice.
func (s *Session) Inventory(ctx context.Context, q inventory.Query) (inventory.Objects, error) {
	if q.Kind == inventory.KindTemplates {
		return s.inventoryTemplates(ctx, q)
	}
	kinds := kindsFor[q.Kind]
	if kinds == nil {
		return inventory.Objects{}, fmt.Errorf("unknown kind of inventory object %q", q.Kind)
	}
	t, err := s.readTree(ctx, kinds...)
	if err != nil {
		return inventory.Objects{}, err
	}
	narrow, err := t.scope(q)
	if err != nil {
		return inventory.Objects{}, err
	}
	switch q.Kind {
	case inventory.KindDatacenters:
		return inventory.Objects{Datacenters: narrow.datacenters(t)}, nil
	case inventory.KindComputeClusters:
		return s.computeClusters(ctx, t, narrow)
	case inventory.KindDatastores:
		return inventory.Objects{Datastores: narrow.datastores(t)}, nil
	case inventory.KindNetworks:
		return inventory.Objects{Networks: narrow.networks(t)}, nil
	case inventory.KindResourcePools:
		return inventory.Objects{ResourcePools: narrow.resourcePools(t)}, nil
	default:
		return inventory.Objects{Folders: narrow.folders(t)}, nil
	}
}

// scope is what a query is narrowed to; nil does not narrow.
type scope struct{ datacenter, compute, accessibleFrom *node }

func (t *tree) scope(q inventory.Query) (scope, error) {
	var narrow scope
	var err error
	if q.Datacenter != "" {
		if narrow.datacenter, err = t.findDatacenter(q.Datacenter); err != nil {
			return scope{}, err
		}
	}
	if q.ComputeCluster != "" {
		narrow.compute, err = pick("compute cluster", q.ComputeCluster, t.computeClusters(narrow.datacenter))
		if err != nil {
			return scope{}, err
		}
		narrow.datacenter = narrow.compute.datacenter()
	}
	if q.AccessibleFrom != "" {
		narrow.accessibleFrom, err = pick("compute cluster", q.AccessibleFrom, t.computeClusters(narrow.datacenter))
		if err != nil {
			return scope{}, err
		}
	}
	return narrow, nil
}

func (n *node) object() inventory.Object {
	o := inventory.Object{Moid: n.ref.Value, Name: n.name, Path: n.path()}
	if datacenter := n.datacenter(); datacenter != nil {
		o.Datacenter = datacenter.name
	}
	return o
}

func (c scope) datacenters(t *tree) []inventory.Datacenter {
	out := []inventory.Datacenter{}
	for _, n := range within(c.datacenter, t.of(typeDatacenter)) {
		out = append(out, inventory.Datacenter{Object: n.object()})
	}
	return out
}

func (s *Session) computeClusters(ctx context.Context, t *tree, c scope) (inventory.Objects, error) {
	nodes := t.computeClusters(c.datacenter)
	if c.compute != nil {
		nodes = []*node{c.compute}
	}
	refs := make([]types.ManagedObjectReference, len(nodes))
	for i, n := range nodes {
		refs[i] = n.ref
	}
	tags, err := s.tagsOf(ctx, refs)
	if err != nil {
		return inventory.Objects{}, err
	}
	out := []inventory.ComputeCluster{}
	for _, n := range nodes {
		compute := n.computeCluster()
		compute.Zone, compute.Region = tags[n.ref][zoneCategory], tags[n.ref][regionCategory]
		out = append(out, compute)
	}
	return inventory.Objects{ComputeClusters: out}, nil
}

func (n *node) computeCluster() inventory.ComputeCluster {
	hosts := n.hosts()
	out := inventory.ComputeCluster{Object: n.object(), Hosts: namesOf(hosts)}
	for _, host := range hosts {
		if host.usable() {
			out.HostsUsable++
		}
	}
	summary := n.summary()
	out.CPUCores, out.CPUMHz = int(summary.NumCpuCores), int(summary.TotalCpu)
	out.MemoryMiB = int(summary.TotalMemory / mib)
	config := prop[types.ClusterConfigInfoEx](n.props, "configurationEx")
	out.DRSEnabled = isTrue(config.DrsConfig.Enabled)
	out.HAEnabled = isTrue(config.DasConfig.Enabled)
	return out
}

// summary is a compute cluster's summary; standalone hosts and clusters have different types of it.
func (n *node) summary() types.ComputeResourceSummary {
	if summary := prop[types.ClusterComputeResourceSummary](n.props, "summary"); summary.NumHosts > 0 {
		return summary.ComputeResourceSummary
	}
	return prop[types.ComputeResourceSummary](n.props, "summary")
}

func isTrue(value *bool) bool { return value != nil && *value }

func (c scope) datastores(t *tree) []inventory.Datastore {
	out := []inventory.Datastore{}
	clusters := t.computeClusters(nil)
	for _, n := range within(c.datacenter, t.of(typeDatastore)) {
		mounted := n.mountedOn()
		if c.compute != nil && !slices.ContainsFunc(c.compute.hosts(), func(h *node) bool { return mounted[h.ref] }) {
			continue
		}
		datastore := n.datastore(mounted, clusters)
		if c.accessibleFrom == nil || datastore.Accessible && slices.Contains(datastore.AccessibleFrom, c.accessibleFrom.path()) {
			out = append(out, datastore)
		}
	}
	return out
}

func (n *node) datastore(mounted map[types.ManagedObjectReference]bool, clusters []*node) inventory.Datastore {
	out := inventory.Datastore{
		Object:          n.object(),
		Type:            prop[string](n.props, "summary.type"),
		CapacityGiB:     int(prop[int64](n.props, "summary.capacity") / gib),
		FreeGiB:         int(prop[int64](n.props, "summary.freeSpace") / gib),
		Accessible:      prop[bool](n.props, "summary.accessible"),
		MaintenanceMode: prop[string](n.props, "summary.maintenanceMode"),
		Hosts:           []string{},
		AccessibleFrom:  []string{},
	}
	if out.MaintenanceMode == "" {
		out.MaintenanceMode = string(types.DatastoreSummaryMaintenanceModeStateNormal)
	}
	if parent := n.up(); parent != nil && parent.ref.Type == typePod {
		out.DatastoreCluster = parent.name
	}
	for ref := range mounted {
		if host := n.tree.nodes[ref]; host != nil {
			out.Hosts = append(out.Hosts, host.name)
		}
	}
	slices.Sort(out.Hosts)
	for _, compute := range clusters {
		hosts := compute.hosts()
		missing := slices.ContainsFunc(hosts, func(h *node) bool { return !mounted[h.ref] })
		if len(hosts) > 0 && !missing {
			out.AccessibleFrom = append(out.AccessibleFrom, compute.path())
		}
	}
	return out
}

func (c scope) resourcePools(t *tree) []inventory.ResourcePool {
	out := []inventory.ResourcePool{}
	for _, n := range within(c.datacenter, t.of(poolTypes...)) {
		owner := refOf(n.props, "owner")
		if c.compute != nil && (owner == nil || *owner != c.compute.ref) {
			continue
		}
		pool := inventory.ResourcePool{Object: n.object()}
		if owner != nil && t.nodes[*owner] != nil {
			pool.ComputeCluster = t.nodes[*owner].name
		}
		out = append(out, pool)
	}
	return out
}

func (c scope) folders(t *tree) []inventory.Folder {
	out := []inventory.Folder{}
	for _, n := range within(c.datacenter, t.vmFolders()) {
		out = append(out, inventory.Folder{Object: n.object()})
	}
	return out
}
