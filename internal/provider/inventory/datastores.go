package inventory

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewDatastores returns the data source palette_datastores.
func NewDatastores() datasource.DataSource {
	return &DataSource{kind: kind{
		kind:            hubapi.KindDatastores,
		list:            "datastores",
		description:     "The datastores of a vCenter, read in one call through the cloud account's gateway.",
		listDescription: "Datastores that fit.",
		filters: map[string]schema.Attribute{
			"type": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Only datastores of this type, in vSphere's words and any case: `VMFS`, `NFS`, `NFS41`, " +
					"`vsan`, `VVOL`. Default: every type.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"min_free_gib": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Only datastores with at least so many GiB free. Default: any.",
				Validators:          []validator.Int64{int64validator.AtLeast(0)},
			},
			"accessible_from": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Only datastores that are accessible and mounted by every host of this compute cluster, " +
					"given by name or full inventory path. One that does not exist is an error. Default: any.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
		},
		item: withObject(map[string]schema.Attribute{
			"type":              text("Type in vSphere's words: `VMFS`, `NFS`, `NFS41`, `vsan`, `VVOL`."),
			"capacity_gib":      number("Capacity in GiB."),
			"free_gib":          number("Free space in GiB."),
			"accessible":        flag("Whether the datastore can be reached."),
			"maintenance_mode":  text("Maintenance mode in vSphere's words: `normal`, `enteringMaintenance` or `inMaintenance`."),
			"datastore_cluster": text("Name of the datastore cluster that it belongs to, or null."),
			"hosts":             texts("Names of the hosts that mount it, sorted."),
			"accessible_from":   texts("Full inventory paths of the compute clusters all of whose hosts mount it, sorted."),
		}),
		new: func() data { return &datastoresModel{} },
	}}
}

type datastoresModel struct {
	scope
	Type           types.String `tfsdk:"type"`
	MinFreeGiB     types.Int64  `tfsdk:"min_free_gib"`
	AccessibleFrom types.String `tfsdk:"accessible_from"`
	Datastores     []datastore  `tfsdk:"datastores"`
}

type datastore struct {
	object
	Type             string       `tfsdk:"type"`
	CapacityGiB      int          `tfsdk:"capacity_gib"`
	FreeGiB          int          `tfsdk:"free_gib"`
	Accessible       bool         `tfsdk:"accessible"`
	MaintenanceMode  string       `tfsdk:"maintenance_mode"`
	DatastoreCluster types.String `tfsdk:"datastore_cluster"`
	Hosts            []string     `tfsdk:"hosts"`
	AccessibleFrom   []string     `tfsdk:"accessible_from"`
}

func (m *datastoresModel) fill(objects *hubapi.Inventory) {
	of := func(d hubapi.Datastore) hubapi.InventoryObject { return d.Object }
	m.Datastores = choose(objects.Datastores, of, m.passes(m.names()), func(d hubapi.Datastore) datastore {
		return datastore{
			object: newObject(d.Object), Type: d.Type, CapacityGiB: d.CapacityGiB, FreeGiB: d.FreeGiB,
			Accessible: d.Accessible, MaintenanceMode: d.MaintenanceMode, DatastoreCluster: orNull(d.DatastoreCluster),
			Hosts: list(d.Hosts), AccessibleFrom: list(d.AccessibleFrom),
		}
	})
}

// query asks the gateway for datastores that a compute cluster reaches, because only the gateway knows whether there is such
// a compute cluster.
func (m *datastoresModel) query(kind hubapi.InventoryKind) hubapi.InventoryQuery {
	q := m.scope.query(kind)
	q.AccessibleFrom = m.AccessibleFrom.ValueString()
	return q
}

func (m *datastoresModel) passes(names nameFilter) func(hubapi.Datastore) bool {
	return func(d hubapi.Datastore) bool {
		return names.passes(d.Name) &&
			(m.Type.IsNull() || strings.EqualFold(m.Type.ValueString(), d.Type)) &&
			(m.MinFreeGiB.IsNull() || int64(d.FreeGiB) >= m.MinFreeGiB.ValueInt64())
	}
}
