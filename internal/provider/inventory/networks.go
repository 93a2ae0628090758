package inventory

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewNetworks returns the data source palette_networks.
func NewNetworks() datasource.DataSource {
	return &DataSource{kind: kind{
		kind: hubapi.KindNetworks,
		list: "networks",
		description: "The networks of a vCenter that a machine can be attached to, read in one call through the cloud " +
			"account's gateway. Uplink port groups are left out.",
		listDescription: "Networks that fit.",
		filters: map[string]schema.Attribute{
			"kind": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Only networks of this kind: `standard` (port group of a host's switch), `distributed` " +
					"(port group of a distributed switch), `nsx` or `opaque`. Default: every kind.",
				Validators: []validator.String{stringvalidator.OneOf(
					string(hubapi.NetworkStandard), string(hubapi.NetworkDistributed), string(hubapi.NetworkNSX),
					string(hubapi.NetworkOpaque),
				)},
			},
		},
		item: withObject(map[string]schema.Attribute{
			"kind": text("Kind: `standard`, `distributed`, `nsx` or `opaque`."),
			"vlan": text("VLAN: an id such as `120`, ranges of a trunk such as `100-199,300`, `pvlan:NN` of a private VLAN, or null " +
				"where it is not known."),
			"switch": text("Name of the distributed switch, or null."),
			"hosts":  texts("Names of the hosts that have it, sorted."),
		}),
		new: func() data { return &networksModel{} },
	}}
}

type networksModel struct {
	scope
	Kind     types.String `tfsdk:"kind"`
	Networks []network    `tfsdk:"networks"`
}

type network struct {
	object
	Kind   string       `tfsdk:"kind"`
	VLAN   types.String `tfsdk:"vlan"`
	Switch types.String `tfsdk:"switch"`
	Hosts  []string     `tfsdk:"hosts"`
}

func (m *networksModel) fill(objects *hubapi.Inventory) {
	of := func(n hubapi.Network) hubapi.InventoryObject { return n.Object }
	m.Networks = choose(objects.Networks, of, m.passes(m.names()), func(n hubapi.Network) network {
		return network{
			object: newObject(n.Object), Kind: string(n.Kind), VLAN: orNull(n.VLAN), Switch: orNull(n.Switch),
			Hosts: list(n.Hosts),
		}
	})
}

func (m *networksModel) passes(names nameFilter) func(hubapi.Network) bool {
	return func(n hubapi.Network) bool {
		return names.passes(n.Name) && (m.Kind.IsNull() || m.Kind.ValueString() == string(n.Kind))
	}
}
