package gateway

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// List is the data source palette_gateways.
type List struct {
	client *hubapi.Client
}

var (
	_ datasource.DataSource              = (*List)(nil)
	_ datasource.DataSourceWithConfigure = (*List)(nil)
)

// NewList returns the data source.
func NewList() datasource.DataSource { return &List{} }

type listModel struct {
	Labels    types.Map    `tfsdk:"labels"`
	NameRegex types.String `tfsdk:"name_regex"`
	Gateways  []listItem   `tfsdk:"gateways"`
}

type listItem struct {
	seen
	System types.Bool `tfsdk:"system"`
}

// Metadata implements datasource.DataSource.
func (d *List) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_gateways"
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *List) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// Schema implements datasource.DataSource.
func (d *List) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The project's gateways, and the hub's system gateway where there is one.",
		Attributes: map[string]schema.Attribute{
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Only gateways that have all of these labels. Default: any.",
				Validators:          []validator.Map{tfkit.NoNulls{}},
			},
			"name_regex": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Regular expression (RE2) that matches somewhere in the name; `^` and `$` tie it to the ends. " +
					"Default: every name.",
				Validators: []validator.String{tfkit.Regexp()},
			},
			"gateways": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "Gateways that fit. Sorted by name; empty when nothing fits.",
				NestedObject:        schema.NestedAttributeObject{Attributes: seenSchema()},
			},
		},
	}
}

// Read implements datasource.DataSource.
func (d *List) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m listModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	var labels map[string]string
	resp.Diagnostics.Append(m.Labels.ElementsAs(ctx, &labels, false)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// The validator has refused expressions that do not compile; an empty one matches every name.
	names, err := regexp.Compile(m.NameRegex.ValueString())
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", "Gateways", err)
		return
	}
	all, err := d.client.Gateways(ctx)
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", "Gateways", err)
		return
	}
	m.Gateways = []listItem{}
	for _, g := range fitting(all, labels, names) {
		item := listItem{System: types.BoolValue(g.System)}
		resp.Diagnostics.Append(item.fromAPI(ctx, &g)...)
		m.Gateways = append(m.Gateways, item)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// fitting returns the gateways that have all the labels and whose names match, by name.
func fitting(all []hubapi.Gateway, labels map[string]string, names *regexp.Regexp) []hubapi.Gateway {
	fit := slices.DeleteFunc(slices.Clone(all), func(g hubapi.Gateway) bool {
		for key, want := range labels {
			if value, ok := g.Spec.Labels[key]; !ok || value != want {
				return true
			}
		}
		return !names.MatchString(g.Name)
	})
	slices.SortFunc(fit, func(a, b hubapi.Gateway) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return fit
}
