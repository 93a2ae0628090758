package cloudaccount

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// DataSource is the data source palette_cloud_account.
type DataSource struct {
	client *hubapi.Client
}

var (
	_ datasource.DataSource                     = (*DataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*DataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*DataSource)(nil)
)

// NewDataSource returns the data source.
func NewDataSource() datasource.DataSource { return &DataSource{} }

type dataModel struct {
	ID             types.String `tfsdk:"id"`
	Name           types.String `tfsdk:"name"`
	GatewayID      types.String `tfsdk:"gateway_id"`
	VCenter        types.String `tfsdk:"vcenter"`
	Username       types.String `tfsdk:"username"`
	VCenterVersion types.String `tfsdk:"vcenter_version"`
	InstanceUUID   types.String `tfsdk:"instance_uuid"`
}

// Metadata implements datasource.DataSource.
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cloud_account"
}

// Configure implements datasource.DataSourceWithConfigure.
func (d *DataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// ConfigValidators implements datasource.DataSourceWithConfigValidators.
func (d *DataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{
		datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name")),
	}
}

// Schema implements datasource.DataSource.
func (d *DataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	computed := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	given := func(description string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, Computed: true, MarkdownDescription: description,
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Looks a cloud account up by id or by name, exactly one of which is given. One that does " +
			"not exist is an error.",
		Attributes: map[string]schema.Attribute{
			"id":              given("Id of the cloud account at the hub."),
			"name":            given("Name of the cloud account."),
			"gateway_id":      computed("Id of the gateway that reaches the vCenter."),
			"vcenter":         computed("Host name or address of the vCenter, with a port where that is not 443."),
			"username":        computed("User that the gateway logs in as."),
			"vcenter_version": computed("Version of the vCenter when it was last verified, such as `8.0.3`."),
			"instance_uuid":   computed("Instance UUID of the vCenter."),
		},
	}
}

// Read implements datasource.DataSource.
func (d *DataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m dataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var account *hubapi.CloudAccount
	var err error
	if m.ID.IsNull() {
		account, err = d.client.CloudAccountByName(ctx, m.Name.ValueString())
	} else {
		account, err = d.client.CloudAccount(ctx, m.ID.ValueString())
	}
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	m = dataModel{
		ID:             types.StringValue(account.ID),
		Name:           types.StringValue(account.Name),
		GatewayID:      types.StringValue(account.Spec.GatewayID),
		VCenter:        types.StringValue(account.Spec.VCenter),
		Username:       types.StringValue(account.Spec.Username),
		VCenterVersion: types.StringValue(account.Status.VCenterVersion),
		InstanceUUID:   types.StringValue(account.Status.InstanceUUID),
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
