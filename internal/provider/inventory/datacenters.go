package inventory

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewDatacenters returns the data source palette_datacenters.
func NewDatacenters() datasource.DataSource {
	return &DataSource{kind: kind{
		kind:            hubapi.KindDatacenters,
		list:            "datacenters",
		description:     "The datacenters of a vCenter, read in one call through the cloud account's gateway.",
		listDescription: "Datacenters that fit.",
		item:            withObject(nil),
		new:             func() data { return &datacentersModel{} },
	}}
}

type datacentersModel struct {
	scope
	Datacenters []object `tfsdk:"datacenters"`
}

func (m *datacentersModel) fill(objects *hubapi.Inventory) {
	names := m.names()
	of := func(d hubapi.Datacenter) hubapi.InventoryObject { return d.Object }
	m.Datacenters = choose(objects.Datacenters, of,
		func(d hubapi.Datacenter) bool { return names.passes(d.Name) },
		func(d hubapi.Datacenter) object { return newObject(d.Object) })
}
