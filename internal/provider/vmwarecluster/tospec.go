package vmwarecluster

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// toSpec makes the wire form of a model whose spec is known. Empty lists and maps are left out, as absent ones are.
func (m model) toSpec(ctx context.Context) (hubapi.ClusterSpec, diag.Diagnostics) {
	var diags diag.Diagnostics
	var endpoint endpointModel
	var network networkModel
	diags.Append(m.Endpoint.As(ctx, &endpoint, tolerant)...)
	diags.Append(m.Network.As(ctx, &network, tolerant)...)
	spec := hubapi.ClusterSpec{
		Name:              m.Name.ValueString(),
		CloudAccountID:    m.CloudAccountID.ValueString(),
		KubernetesVersion: m.KubernetesVersion.ValueString(),
		Datacenter:        m.Datacenter.ValueString(),
		Folder:            m.Folder.ValueString(),
		Template:          m.Template.ValueString(),
		CloneMode:         hubapi.CloneMode(m.CloneMode.ValueString()),
		Endpoint:          hubapi.Endpoint{Host: endpoint.Host.ValueString(), Port: int(endpoint.Port.ValueInt64())},
		Network: hubapi.ClusterNetwork{
			PodCIDR: network.PodCIDR.ValueString(), ServiceCIDR: network.ServiceCIDR.ValueString(),
			DNSDomain: network.DNSDomain.ValueString(),
		},
		SSHAuthorizedKeys: toStrings(ctx, m.SSHAuthorizedKeys, &diags),
		NTPServers:        toStrings(ctx, m.NTPServers, &diags),
	}
	spec.ControlPlane = toPool(ctx, m.ControlPlane, &diags)
	for name, value := range m.WorkerPools.Elements() {
		if spec.WorkerPools == nil {
			spec.WorkerPools = map[string]hubapi.Pool{}
		}
		object, ok := value.(types.Object)
		if !ok {
			continue // the schema has objects only
		}
		spec.WorkerPools[name] = toPool(ctx, object, &diags)
	}
	return spec, diags
}

func toPool(ctx context.Context, value types.Object, diags *diag.Diagnostics) hubapi.Pool {
	var pool poolModel
	var strategy strategyModel
	diags.Append(value.As(ctx, &pool, tolerant)...)
	diags.Append(pool.Strategy.As(ctx, &strategy, tolerant)...)
	return hubapi.Pool{
		Count:       int(pool.Count.ValueInt64()),
		CPU:         int(pool.CPU.ValueInt64()),
		MemoryMiB:   int(pool.MemoryMiB.ValueInt64()),
		DiskGiB:     int(pool.DiskGiB.ValueInt64()),
		Labels:      toMap(ctx, pool.Labels, diags),
		Annotations: toMap(ctx, pool.Annotations, diags),
		Taints:      toTaints(ctx, pool.Taints, diags),
		Placements:  toPlacements(ctx, pool.Placements, diags),
		UpdateStrategy: hubapi.UpdateStrategy{
			MaxSurge: int(strategy.MaxSurge.ValueInt64()), MaxUnavailable: int(strategy.MaxUnavailable.ValueInt64()),
		},
	}
}

func toTaints(ctx context.Context, value types.List, diags *diag.Diagnostics) []hubapi.Taint {
	var models []taintModel
	diags.Append(value.ElementsAs(ctx, &models, false)...)
	var taints []hubapi.Taint
	for _, t := range models {
		taints = append(taints, hubapi.Taint{
			Key: t.Key.ValueString(), Value: t.Value.ValueString(), Effect: t.Effect.ValueString(),
		})
	}
	return taints
}

func toPlacements(ctx context.Context, value types.List, diags *diag.Diagnostics) []hubapi.Placement {
	var models []placementModel
	diags.Append(value.ElementsAs(ctx, &models, false)...)
	var placements []hubapi.Placement
	for _, p := range models {
		placements = append(placements, hubapi.Placement{
			ComputeCluster: p.ComputeCluster.ValueString(),
			ResourcePool:   p.ResourcePool.ValueString(),
			Datastore:      p.Datastore.ValueString(),
			Networks:       toStrings(ctx, p.Networks, diags),
			IPPoolID:       p.IPPoolID.ValueString(),
		})
	}
	return placements
}

func toStrings(ctx context.Context, value types.List, diags *diag.Diagnostics) []string {
	if len(value.Elements()) == 0 {
		return nil
	}
	var list []string
	diags.Append(value.ElementsAs(ctx, &list, false)...)
	return list
}

func toMap(ctx context.Context, value types.Map, diags *diag.Diagnostics) map[string]string {
	if len(value.Elements()) == 0 {
		return nil
	}
	var m map[string]string
	diags.Append(value.ElementsAs(ctx, &m, false)...)
	return m
}
