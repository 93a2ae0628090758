package inventory

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// NewTemplates returns the data source palette_templates.
func NewTemplates() datasource.DataSource {
	return &DataSource{kind: kind{
		kind: hubapi.KindTemplates,
		list: "templates",
		description: "The virtual machine templates of a vCenter, read in one call through the cloud account's " +
			"gateway.",
		listDescription: "Templates that fit.",
		filters: map[string]schema.Attribute{
			"kubernetes_version": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Only templates with this Kubernetes version: a full one such as `v1.34.1`, or a minor " +
					"one such as `v1.34` for every patch level of it. Default: every template, also those without Kubernetes.",
				Validators: []validator.String{tfkit.KubernetesVersionPrefix()},
			},
		},
		item: withObject(map[string]schema.Attribute{
			"kubernetes_version": text("Kubernetes version such as `v1.34.1`: the OVF property `KUBERNETES_SEMVER`, else what the " +
				"name says, else null."),
			"guest_id":         text("Guest operating system in vSphere's words, such as `ubuntu64Guest`."),
			"hardware_version": text("Virtual hardware version, such as `vmx-19`."),
			"disks": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Virtual disks, in the order of the template.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"key":          number("Device key; a clone's disk has the same."),
					"capacity_gib": number("Capacity in GiB."),
				}},
			},
			"snapshot":   text("Name of the current snapshot, which linked clones are made from, or null."),
			"datastores": texts("Names of the datastores that it lies on, sorted."),
		}),
		new: func() data { return &templatesModel{} },
	}}
}

type templatesModel struct {
	scope
	KubernetesVersion types.String `tfsdk:"kubernetes_version"`
	Templates         []template   `tfsdk:"templates"`
}

type template struct {
	object
	KubernetesVersion types.String `tfsdk:"kubernetes_version"`
	GuestID           string       `tfsdk:"guest_id"`
	HardwareVersion   string       `tfsdk:"hardware_version"`
	Disks             []disk       `tfsdk:"disks"`
	Snapshot          types.String `tfsdk:"snapshot"`
	Datastores        []string     `tfsdk:"datastores"`
}

type disk struct {
	Key         int32 `tfsdk:"key"`
	CapacityGiB int   `tfsdk:"capacity_gib"`
}

func (m *templatesModel) fill(objects *hubapi.Inventory) {
	of := func(t hubapi.Template) hubapi.InventoryObject { return t.Object }
	m.Templates = choose(objects.Templates, of, m.passes(m.names()), func(t hubapi.Template) template {
		disks := make([]disk, 0, len(t.Disks))
		for _, d := range t.Disks {
			disks = append(disks, disk{Key: d.Key, CapacityGiB: d.CapacityGiB})
		}
		return template{
			object: newObject(t.Object), KubernetesVersion: orNull(t.KubernetesVersion), GuestID: t.GuestID,
			HardwareVersion: t.HardwareVersion, Disks: disks, Snapshot: orNull(t.Snapshot), Datastores: list(t.Datastores),
		}
	})
}

func (m *templatesModel) passes(names nameFilter) func(hubapi.Template) bool {
	return func(t hubapi.Template) bool {
		return names.passes(t.Name) &&
			(m.KubernetesVersion.IsNull() || isVersion(t.KubernetesVersion, m.KubernetesVersion.ValueString()))
	}
}

// isVersion tells whether a version is the wanted one, or a patch level of the wanted minor one.
func isVersion(version, wanted string) bool {
	version, wanted = strings.TrimPrefix(version, "v"), strings.TrimPrefix(wanted, "v")
	return version == wanted || strings.Count(wanted, ".") == 1 && strings.HasPrefix(version, wanted+".")
}
