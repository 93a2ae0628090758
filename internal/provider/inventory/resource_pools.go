package inventory

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewResourcePools returns the data source palette_resource_pools.
func NewResourcePools() datasource.DataSource {
	return &DataSource{kind: kind{
		kind: hubapi.KindResourcePools,
		list: "resource_pools",
		description: "The resource pools and vApps of a vCenter, read in one call through the cloud account's gateway. " +
			"Each compute cluster's root pool is named `Resources`.",
		listDescription: "Resource pools that fit.",
		item: withObject(map[string]schema.Attribute{
			"compute_cluster": text("Name of the compute cluster that the pool divides."),
		}),
		new: func() data { return &resourcePoolsModel{} },
	}}
}

type resourcePoolsModel struct {
	scope
	ResourcePools []resourcePool `tfsdk:"resource_pools"`
}

type resourcePool struct {
	object
	ComputeCluster types.String `tfsdk:"compute_cluster"`
}

func (m *resourcePoolsModel) fill(objects *hubapi.Inventory) {
	names := m.names()
	of := func(p hubapi.ResourcePool) hubapi.InventoryObject { return p.Object }
	m.ResourcePools = choose(objects.ResourcePools, of,
		func(p hubapi.ResourcePool) bool { return names.passes(p.Name) },
		func(p hubapi.ResourcePool) resourcePool {
			return resourcePool{object: newObject(p.Object), ComputeCluster: types.StringValue(p.ComputeCluster)}
		})
}
