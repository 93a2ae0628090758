package vmwarecluster

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// fromAPI takes over what the hub says. What the model held before decides only between null and empty, which are one on
// the wire. Attributes that only the provider knows get their defaults when they are null, as after an import.
func (m *model) fromAPI(ctx context.Context, c *hubapi.Cluster) diag.Diagnostics {
	var diags diag.Diagnostics
	m.specFromAPI(ctx, c.Spec, &diags)
	if m.Protection.IsNull() {
		m.Protection = types.BoolValue(true)
	}
	if m.OnCreateTimeout.IsNull() {
		m.OnCreateTimeout = types.StringValue(onTimeoutResume)
	}
	if m.PlannedOperations.IsNull() || m.PlannedOperations.IsUnknown() {
		m.PlannedOperations = emptyStrings()
	}
	m.ID = types.StringValue(c.ID)
	m.statusFromAPI(ctx, c.Status, &diags)
	if c.DeletedAt != nil {
		// Also when the gateway has failed at it: nothing else can be done with the cluster.
		m.Phase = types.StringValue(string(hubapi.PhaseDeleting))
	}
	return diags
}

func (m *model) specFromAPI(ctx context.Context, spec hubapi.ClusterSpec, diags *diag.Diagnostics) {
	m.Name = types.StringValue(spec.Name)
	m.CloudAccountID = types.StringValue(spec.CloudAccountID)
	m.KubernetesVersion = types.StringValue(spec.KubernetesVersion)
	m.Datacenter = types.StringValue(spec.Datacenter)
	m.Folder = types.StringValue(spec.Folder)
	m.Template = types.StringValue(spec.Template)
	m.CloneMode = types.StringValue(string(spec.CloneMode))
	m.Endpoint = object(ctx, endpointTypes, endpointModel{
		Host: types.StringValue(spec.Endpoint.Host), Port: types.Int64Value(int64(spec.Endpoint.Port)),
	}, diags)
	m.Network = object(ctx, networkTypes, networkModel{
		PodCIDR:     cidrtypes.NewIPPrefixValue(spec.Network.PodCIDR),
		ServiceCIDR: cidrtypes.NewIPPrefixValue(spec.Network.ServiceCIDR),
		DNSDomain:   types.StringValue(spec.Network.DNSDomain),
	}, diags)
	m.SSHAuthorizedKeys = fromStrings(spec.SSHAuthorizedKeys, m.SSHAuthorizedKeys)
	m.NTPServers = fromStrings(spec.NTPServers, m.NTPServers)
	m.ControlPlane = fromPool(ctx, spec.ControlPlane, m.ControlPlane, diags)
	m.WorkerPools = fromPools(ctx, spec.WorkerPools, m.WorkerPools, diags)
}

func (m *model) statusFromAPI(ctx context.Context, status hubapi.ClusterStatus, diags *diag.Diagnostics) {
	m.Phase = types.StringValue(string(status.Phase))
	m.Ready = types.BoolValue(status.Ready)
	m.Conditions = conditionsFromAPI(ctx, status.Conditions, diags)
	m.Machines = machinesFromAPI(ctx, status.Machines, diags)
}

func fromPools(ctx context.Context, pools map[string]hubapi.Pool, prior types.Map, diags *diag.Diagnostics) types.Map {
	elem := types.ObjectType{AttrTypes: poolTypes}
	if len(pools) == 0 && prior.IsNull() {
		return types.MapNull(elem)
	}
	values := map[string]attr.Value{}
	for name, pool := range pools {
		before, ok := prior.Elements()[name].(types.Object)
		if !ok {
			before = types.ObjectNull(poolTypes)
		}
		values[name] = fromPool(ctx, pool, before, diags)
	}
	m, d := types.MapValue(elem, values)
	diags.Append(d...)
	return m
}

func fromPool(ctx context.Context, pool hubapi.Pool, prior types.Object, diags *diag.Diagnostics) types.Object {
	var before poolModel
	if !prior.IsNull() && !prior.IsUnknown() {
		diags.Append(prior.As(ctx, &before, tolerant)...)
	}
	return object(ctx, poolTypes, poolModel{
		Count:       types.Int64Value(int64(pool.Count)),
		CPU:         types.Int64Value(int64(pool.CPU)),
		MemoryMiB:   types.Int64Value(int64(pool.MemoryMiB)),
		DiskGiB:     types.Int64Value(int64(pool.DiskGiB)),
		Labels:      fromMap(pool.Labels, before.Labels),
		Annotations: fromMap(pool.Annotations, before.Annotations),
		Taints:      fromTaints(ctx, pool.Taints, before.Taints, diags),
		Placements:  fromPlacements(ctx, pool.Placements, diags),
		Strategy: object(ctx, strategyTypes, strategyModel{
			MaxSurge:       types.Int64Value(int64(pool.UpdateStrategy.MaxSurge)),
			MaxUnavailable: types.Int64Value(int64(pool.UpdateStrategy.MaxUnavailable)),
		}, diags),
	}, diags)
}

func fromTaints(ctx context.Context, taints []hubapi.Taint, prior types.List, diags *diag.Diagnostics) types.List {
	if len(taints) == 0 && prior.IsNull() {
		return types.ListNull(types.ObjectType{AttrTypes: taintTypes})
	}
	models := make([]taintModel, len(taints))
	for i, t := range taints {
		models[i] = taintModel{Key: types.StringValue(t.Key), Value: optional(t.Value), Effect: types.StringValue(t.Effect)}
	}
	return objects(ctx, taintTypes, models, diags)
}

func fromPlacements(ctx context.Context, placements []hubapi.Placement, diags *diag.Diagnostics) types.List {
	models := make([]placementModel, len(placements))
	for i, p := range placements {
		models[i] = placementModel{
			ComputeCluster: types.StringValue(p.ComputeCluster),
			ResourcePool:   optional(p.ResourcePool),
			Datastore:      types.StringValue(p.Datastore),
			Networks:       fromStrings(p.Networks, emptyStrings()),
			IPPoolID:       optional(p.IPPoolID),
		}
	}
	return objects(ctx, placementTypes, models, diags)
}

func conditionsFromAPI(ctx context.Context, conditions []hubapi.Condition, diags *diag.Diagnostics) types.List {
	sorted := slices.SortedStableFunc(slices.Values(conditions), func(a, b hubapi.Condition) int {
		return cmp.Compare(a.Type, b.Type)
	})
	models := make([]conditionModel, len(sorted))
	for i, c := range sorted {
		models[i] = conditionModel{
			Type: types.StringValue(c.Type), Status: types.BoolValue(c.Status),
			Reason: types.StringValue(c.Reason), Message: types.StringValue(c.Message),
		}
	}
	return objects(ctx, conditionTypes, models, diags)
}

func machinesFromAPI(ctx context.Context, machines []hubapi.Machine, diags *diag.Diagnostics) types.List {
	sorted := slices.SortedStableFunc(slices.Values(machines), compareMachines)
	models := make([]machineModel, len(sorted))
	for i, m := range sorted {
		models[i] = machineModel{
			Name: types.StringValue(m.Name), Pool: types.StringValue(m.Pool), InstanceUUID: types.StringValue(m.InstanceUUID),
			Moid: optional(m.Moid), Addresses: fromStrings(m.Addresses, emptyStrings()), Host: optional(m.Host),
			Datastore: optional(m.Datastore), Version: optional(m.Version), State: types.StringValue(m.State),
		}
	}
	return objects(ctx, machineTypes, models, diags)
}

// compareMachines puts the control plane first, then pools by name, and prod-a-2 before prod-a-10.
func compareMachines(a, b hubapi.Machine) int {
	return cmp.Or(
		cmp.Compare(workerRank(a.Pool), workerRank(b.Pool)),
		cmp.Compare(a.Pool, b.Pool),
		compareNatural(a.Name, b.Name),
		cmp.Compare(a.InstanceUUID, b.InstanceUUID),
	)
}

func workerRank(pool string) int {
	if pool == hubapi.ControlPlanePool {
		return 0
	}
	return 1
}

// compareNatural compares names part by part, numbers by their size.
func compareNatural(a, b string) int {
	as, bs := strings.Split(a, "-"), strings.Split(b, "-")
	for i := range min(len(as), len(bs)) {
		if digits(as[i]) && digits(bs[i]) && len(as[i]) != len(bs[i]) {
			return cmp.Compare(len(as[i]), len(bs[i]))
		}
		if c := cmp.Compare(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// optional makes null of what the wire leaves out.
func optional(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func emptyStrings() types.List { return types.ListValueMust(types.StringType, []attr.Value{}) }

// fromStrings keeps null where the configuration has none.
func fromStrings(list []string, prior types.List) types.List {
	if len(list) == 0 && prior.IsNull() {
		return types.ListNull(types.StringType)
	}
	values := make([]attr.Value, len(list))
	for i, s := range list {
		values[i] = types.StringValue(s)
	}
	return types.ListValueMust(types.StringType, values)
}

func fromMap(m map[string]string, prior types.Map) types.Map {
	if len(m) == 0 && prior.IsNull() {
		return types.MapNull(types.StringType)
	}
	values := map[string]attr.Value{}
	for key, s := range m {
		values[key] = types.StringValue(s)
	}
	return types.MapValueMust(types.StringType, values)
}

func object[T any](ctx context.Context, attrs map[string]attr.Type, value T, diags *diag.Diagnostics) types.Object {
	o, d := types.ObjectValueFrom(ctx, attrs, value)
	diags.Append(d...)
	return o
}

func objects[T any](ctx context.Context, attrs map[string]attr.Type, values []T, diags *diag.Diagnostics) types.List {
	list, d := types.ListValueFrom(ctx, types.ObjectType{AttrTypes: attrs}, values)
	diags.Append(d...)
	return list
}
