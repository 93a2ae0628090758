// Package inventory owns the data sources that show what a vCenter holds: datacenters, compute clusters, datastores,
// networks, resource pools, folders and templates. They share one way of reading; each has a file with its words and
// its filters, which are pure functions over what the hub answers.
package inventory

import (
	"context"
	"maps"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// DataSources returns what makes the package's data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{
		NewDatacenters, NewComputeClusters, NewDatastores, NewNetworks, NewResourcePools, NewFolders, NewTemplates,
	}
}

// scope is what every data source takes.
type scope struct {
	CloudAccountID types.String `tfsdk:"cloud_account_id"`
	Datacenter     types.String `tfsdk:"datacenter"`
	ComputeCluster types.String `tfsdk:"compute_cluster"`
	NameRegex      types.String `tfsdk:"name_regex"`
}

func (s *scope) accountID() string { return s.CloudAccountID.ValueString() }

// query is what is asked of the hub: what needs the inventory to be understood. Everything else is filtered here.
func (s *scope) query(kind hubapi.InventoryKind) hubapi.InventoryQuery {
	return hubapi.InventoryQuery{
		Kind: kind, Datacenter: s.Datacenter.ValueString(), ComputeCluster: s.ComputeCluster.ValueString(),
	}
}

// names is the filter by name; everything passes when none is set.
func (s *scope) names() nameFilter {
	if s.NameRegex.IsNull() {
		return nameFilter{}
	}
	// The validator has refused expressions that do not compile.
	re, err := regexp.Compile(s.NameRegex.ValueString())
	return nameFilter{re: re, broken: err != nil}
}

// nameFilter passes names that an expression matches anywhere.
type nameFilter struct {
	re     *regexp.Regexp
	broken bool
}

func (f nameFilter) passes(name string) bool {
	return !f.broken && (f.re == nil || f.re.MatchString(name))
}

// data is a data source's model: its scope, its filters and the list it shows.
type data interface {
	accountID() string
	query(kind hubapi.InventoryKind) hubapi.InventoryQuery
	// fill takes over those objects that pass the filters.
	fill(objects *hubapi.Inventory)
}

// kind is what tells one data source from another.
type kind struct {
	kind hubapi.InventoryKind
	// list is the name of the list, and of the data source after "palette_".
	list        string
	description string
	// listDescription describes the list.
	listDescription string
	filters         map[string]schema.Attribute
	item            map[string]schema.Attribute
	new             func() data
}

// DataSource is one of the package's data sources.
type DataSource struct {
	kind   kind
	client *hubapi.Client
}

var (
	_ datasource.DataSource              = (*DataSource)(nil)
	_ datasource.DataSourceWithConfigure = (*DataSource)(nil)
)

// Metadata implements datasource.DataSource.
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.kind.list
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *DataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// Schema implements datasource.DataSource.
func (d *DataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"cloud_account_id": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Id of the cloud account whose vCenter is read.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"datacenter": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Name or full inventory path of the datacenter to look in. One that does not exist is an " +
				"error. Default: all datacenters.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"compute_cluster": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Name or full inventory path of the compute cluster to look in, for objects that belong to " +
				"one; others are narrowed to its datacenter. One that does not exist is an error. Default: all compute " +
				"clusters.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"name_regex": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Regular expression (RE2) that matches somewhere in the name; `^` and `$` tie it to the " +
				"ends. Default: every name.",
			Validators: []validator.String{tfkit.Regexp()},
		},
		d.kind.list: schema.ListNestedAttribute{
			Computed:            true,
			MarkdownDescription: d.kind.listDescription + " Sorted by path; empty when nothing fits.",
			NestedObject:        schema.NestedAttributeObject{Attributes: d.kind.item},
		},
	}
	maps.Copy(attributes, d.kind.filters)
	resp.Schema = schema.Schema{MarkdownDescription: d.kind.description, Attributes: attributes}
}

// Read implements datasource.DataSource.
func (d *DataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	model := d.kind.new()
	resp.Diagnostics.Append(req.Config.Get(ctx, model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	objects, err := d.client.Inventory(ctx, model.accountID(), model.query(d.kind.kind))
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", "Inventory", err)
		return
	}
	model.fill(objects)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}
