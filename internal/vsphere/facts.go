package vsphere

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Facts reads what a cluster's new machines need, all but AddressPools: the inventory (three calls), the template (two),
// and one search for each address that is wanted free. What is missing is in the facts, not an error.
func (s *Session) Facts(ctx context.Context, spec cluster.Spec, wantFree []string) (*cluster.Facts, error) {
	t, err := s.freshTree(ctx)
	if err != nil {
		return nil, err
	}
	facts := &cluster.Facts{Placements: map[string][]cluster.PlacementFacts{}, UsedAddresses: map[string]string{}}
	datacenter, err := t.findDatacenter(spec.Datacenter)
	if err != nil {
		facts.NearDatacenters = lookup(nil, err).Near
		return facts, nil
	}
	facts.DatacenterExists = true
	if err := s.templateFacts(ctx, facts, datacenter, spec.Template); err != nil {
		return nil, err
	}
	for _, pool := range spec.Pools() {
		placements := make([]cluster.PlacementFacts, len(pool.Placements))
		for i, placement := range pool.Placements {
			placements[i] = t.placementFacts(datacenter, placement)
		}
		facts.Placements[pool.Name] = placements
	}
	facts.UsedAddresses, err = s.usedAddresses(ctx, folderPath(datacenter, spec.Folder), wantFree)
	if err != nil {
		return nil, err
	}
	return facts, nil
}

func (s *Session) templateFacts(ctx context.Context, facts *cluster.Facts, datacenter *node, name string) error {
	found, err := s.findTemplate(ctx, datacenter, name)
	var missing *NotFoundError
	var several *AmbiguousError
	switch {
	case errors.As(err, &missing):
		facts.NearTemplates = missing.Near
		return nil
	case errors.As(err, &several):
		facts.AmbiguousTemplates = several.Paths
		return nil
	case err != nil:
		return err
	}
	facts.Template = found.facts()
	return nil
}

func (t *template) facts() *cluster.TemplateFacts {
	out := &cluster.TemplateFacts{
		Path: t.path, KubernetesVersion: t.kubernetesVersion(), Snapshot: t.snapshotName, Datastores: t.datastores,
		DiskKeys: []int32{},
	}
	for i, disk := range t.disks() {
		if i == 0 {
			out.DiskGiB = disk.CapacityGiB
		}
		out.DiskKeys = append(out.DiskKeys, disk.Key)
	}
	return out
}

// findTemplate finds a template of a datacenter by name or path, and reads it afresh.
func (s *Session) findTemplate(ctx context.Context, datacenter *node, name string) (*template, error) {
	if strings.HasPrefix(name, "/") {
		found, err := s.templateAt(ctx, datacenter.tree, name)
		if found != nil || err != nil {
			return found, err
		}
	}
	_, vms, err := s.vmIndex(ctx, datacenter.ref, "name", "parent", "config.template")
	if err != nil {
		return nil, err
	}
	var candidates []*node
	for _, vm := range vms {
		if !prop[bool](vm.props, "config.template") {
			continue
		}
		raw := prop[string](vm.props, "name")
		candidates = append(candidates, &node{
			ref: vm.ref, raw: raw, name: decodeName(raw), parent: refOf(vm.props, "parent"), tree: datacenter.tree,
		})
	}
	found, err := pick("template", name, candidates)
	if err != nil {
		if missing, ok := errors.AsType[*NotFoundError](err); ok {
			missing.Near = near(name, pathsOf(candidates))
		}
		return nil, err
	}
	return s.readTemplate(ctx, datacenter.tree, found.ref)
}

// templateAt reads the template with a full path, or nil when there is none.
func (s *Session) templateAt(ctx context.Context, t *tree, path string) (*template, error) {
	response, err := methods.FindByInventoryPath(ctx, s.vim, &types.FindByInventoryPath{
		This: *s.content.SearchIndex, InventoryPath: strings.TrimPrefix(path, "/"),
	})
	if err != nil {
		return nil, s.newFaultError("find template", path, err)
	}
	if response.Returnval == nil || response.Returnval.Type != typeVM {
		return nil, nil //nolint:nilnil // documented
	}
	found, err := s.readTemplate(ctx, t, *response.Returnval)
	if _, ok := errors.AsType[*NotFoundError](err); ok {
		return nil, nil //nolint:nilnil // documented
	}
	return found, err
}

// readTemplate reads a template and remembers it by its path.
func (s *Session) readTemplate(ctx context.Context, t *tree, ref types.ManagedObjectReference) (*template, error) {
	found, err := s.readTemplates(ctx, t, []types.ManagedObjectReference{ref})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || !found[0].isTemplate {
		return nil, &NotFoundError{Kind: "template", Name: s.describe(ref)}
	}
	s.cache.mutex.Lock()
	defer s.cache.mutex.Unlock()
	if s.cache.templates == nil {
		s.cache.templates = map[string]*template{}
	}
	s.cache.templates[found[0].path] = found[0]
	return found[0], nil
}

func (t *tree) placementFacts(datacenter *node, p cluster.Placement) cluster.PlacementFacts {
	out := cluster.PlacementFacts{Networks: make([]cluster.Lookup, len(p.Networks))}
	compute, err := pick("compute cluster", p.ComputeCluster, t.computeClusters(datacenter))
	out.ComputeCluster = lookup(compute, err)
	if compute != nil {
		out.ResourcePool = lookup(t.findPool(compute, p.ResourcePool))
		for _, host := range compute.hosts() {
			if host.usable() {
				out.HostsUsable++
			}
		}
	}
	for i, name := range p.Networks {
		out.Networks[i] = lookup(pick("network", name, t.networksFor(datacenter, compute, name)))
	}
	datastore, err := pick("datastore", p.Datastore, within(datacenter, t.of(typeDatastore)))
	out.Datastore = lookup(datastore, err)
	if datastore != nil {
		out.DatastoreName = datastore.name
		out.FreeGiB = int(prop[int64](datastore.props, "summary.freeSpace") / gib)
		out.DatastoreState = datastoreState(datastore, compute)
		out.DatastoreReachable = out.DatastoreState == ""
	}
	return out
}

// datastoreState says why machines of a compute cluster cannot use a datastore; "" is that they can.
func datastoreState(datastore, compute *node) string {
	if !prop[bool](datastore.props, "summary.accessible") {
		return "inaccessible"
	}
	maintenance := prop[string](datastore.props, "summary.maintenanceMode")
	if maintenance != "" && maintenance != string(types.DatastoreSummaryMaintenanceModeStateNormal) {
		return "in maintenance mode (" + maintenance + ")"
	}
	if compute == nil {
		return ""
	}
	mounted := datastore.mountedOn()
	var without []string
	for _, host := range compute.hosts() {
		if host.usable() && !mounted[host.ref] {
			without = append(without, host.name)
		}
	}
	if len(without) > 0 {
		return "not mounted on " + strings.Join(without, ", ")
	}
	return ""
}

// usedAddresses finds who has addresses that are wanted free. Machines in the cluster's own folder do not count: the
// endpoint's address moves among them.
func (s *Session) usedAddresses(ctx context.Context, folder string, wanted []string) (map[string]string, error) {
	used := map[string]string{}
	holders := make([][]types.ManagedObjectReference, len(wanted))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, address := range wanted {
		group.Go(func() error {
			response, err := methods.FindAllByIp(groupCtx, s.vim, &types.FindAllByIp{
				This: *s.content.SearchIndex, Ip: address, VmSearch: true,
			})
			if err != nil {
				return s.newFaultError("find who has address "+address, "", err)
			}
			holders[i] = response.Returnval
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	refs := slices.Concat(holders...)
	if len(refs) == 0 {
		return used, nil
	}
	objects, err := s.retrieve(ctx, objectsSpec(refs, "name", "parent", extra(cluster.OwnerKey)))
	if err != nil {
		return nil, s.newFaultError("read who has an address", "", err)
	}
	known, err := s.treeFor(ctx, objects)
	if err != nil {
		return nil, err
	}
	for i, address := range wanted {
		for _, o := range objects {
			own := extraValue(o.props, cluster.OwnerKey) != "" && known.path(refOf(o.props, "parent")) == folder
			if slices.Contains(holders[i], o.ref) && !own {
				used[address] = decodeName(prop[string](o.props, "name"))
			}
		}
	}
	return used, nil
}
