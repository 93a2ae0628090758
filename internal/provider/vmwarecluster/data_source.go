package vmwarecluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// DataSource is palette_vmware_cluster as data.
type DataSource struct {
	reads reads
}

var (
	_ datasource.DataSource                     = (*DataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*DataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*DataSource)(nil)
)

// NewDataSource returns the data source.
func NewDataSource() datasource.DataSource { return &DataSource{} }

// dataModel is the data source as Terraform has it.
type dataModel struct {
	ID                types.String `tfsdk:"id"`
	Name              types.String `tfsdk:"name"`
	CloudAccountID    types.String `tfsdk:"cloud_account_id"`
	KubernetesVersion types.String `tfsdk:"kubernetes_version"`
	Datacenter        types.String `tfsdk:"datacenter"`
	Folder            types.String `tfsdk:"folder"`
	Template          types.String `tfsdk:"template"`
	Endpoint          types.Object `tfsdk:"control_plane_endpoint"`
	Phase             types.String `tfsdk:"phase"`
	Ready             types.Bool   `tfsdk:"ready"`
	Conditions        types.List   `tfsdk:"conditions"`
	Machines          types.List   `tfsdk:"machines"`
}

func (m *dataModel) fromAPI(ctx context.Context, c *hubapi.Cluster) diag.Diagnostics {
	var full model
	diags := full.fromAPI(ctx, c)
	*m = dataModel{
		ID: full.ID, Name: full.Name, CloudAccountID: full.CloudAccountID, KubernetesVersion: full.KubernetesVersion,
		Datacenter: full.Datacenter, Folder: full.Folder, Template: full.Template, Endpoint: full.Endpoint,
		Phase: full.Phase, Ready: full.Ready, Conditions: full.Conditions, Machines: full.Machines,
	}
	return diags
}

// Metadata implements datasource.DataSource.
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_vmware_cluster"
}

// Schema implements datasource.DataSource.
func (d *DataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	key := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Computed: true, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "A Kubernetes cluster on VMware vSphere, by its id or its name, as it is now.",
		Attributes: map[string]schema.Attribute{
			"id":                 key("Id of the cluster at the hub. Exactly one of `id` and `name` is set."),
			"name":               key("Name of the cluster. Exactly one of `id` and `name` is set."),
			"cloud_account_id":   text("Id of the `palette_cloud_account` whose vCenter the machines live in."),
			"kubernetes_version": text("Kubernetes version the cluster is to have."),
			"datacenter":         text("Datacenter of the machines."),
			"folder":             text("Path of the VM folder below the datacenter's `vm` folder."),
			"template":           text("VM template that machines are cloned from."),
			"control_plane_endpoint": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "Where the Kubernetes API server answers.",
				Attributes: map[string]schema.Attribute{
					"host": text("Address."),
					"port": schema.Int64Attribute{Computed: true, MarkdownDescription: "TCP port."},
				},
			},
			"phase": text("`Pending`, `Provisioning`, `Updating`, `Ready`, `Failed` or `Deleting`."),
			"ready": schema.BoolAttribute{
				Computed: true, MarkdownDescription: "Whether all machines are nodes of the cluster and as configured.",
			},
			"conditions": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "Aspects of the cluster's state.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"type":    text("What the condition is about."),
					"status":  schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it holds."},
					"reason":  text("Why, in one word."),
					"message": text("Why, for people."),
				}},
			},
			"machines": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The cluster's machines, the control plane first, then by name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":          text("Name of the VM and of the node."),
					"pool":          text("Worker pool, or `control-plane`."),
					"instance_uuid": text("vSphere instance UUID."),
					"moid":          text("Managed object id in the vCenter."),
					"addresses": schema.ListAttribute{
						Computed: true, ElementType: types.StringType, MarkdownDescription: "IP addresses of the first network card.",
					},
					"host":      text("ESXi host the VM runs on."),
					"datastore": text("Datastore of the VM."),
					"version":   text("Kubernetes version of the machine."),
					"state":     text("`booting`, `ready`, `failed`, `powered-off`, `unreachable` or `copy`."),
				}},
			},
		},
	}
}

// ConfigValidators implements datasource.DataSourceWithConfigValidators.
func (d *DataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name"))}
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *DataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	if client := tfkit.Configure(req.ProviderData, &resp.Diagnostics); client != nil {
		d.reads = client
	}
}

// Read implements datasource.DataSource.
func (d *DataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var data dataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &data)...)
	if resp.Diagnostics.HasError() {
		return
	}
	at, wanted := path.Root("id"), data.ID.ValueString()
	if wanted == "" {
		at, wanted = path.Root("name"), data.Name.ValueString()
	}
	c, err := d.look(ctx, data)
	if errors.Is(err, hubapi.ErrNotFound) {
		resp.Diagnostics.AddAttributeError(at, "Cluster Not Found", fmt.Sprintf("There is no cluster %q in this project.", wanted))
		return
	}
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	resp.Diagnostics.Append(data.fromAPI(ctx, c)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, data)...)
}

func (d *DataSource) look(ctx context.Context, data dataModel) (*hubapi.Cluster, error) {
	id := data.ID.ValueString()
	if id == "" {
		found, err := d.reads.ClusterByName(ctx, data.Name.ValueString())
		if err != nil {
			return nil, err
		}
		id = found.ID
	}
	return d.reads.RefreshCluster(ctx, id)
}
