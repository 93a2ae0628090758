package gateway

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/datasource/timeouts"
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

// DataSource is the data source palette_gateway.
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
	seen
	System            types.Bool     `tfsdk:"system"`
	PairingToken      types.String   `tfsdk:"pairing_token"`
	WaitForConnection types.Bool     `tfsdk:"wait_for_connection"`
	Timeouts          timeouts.Value `tfsdk:"timeouts"`
}

// Metadata implements datasource.DataSource.
func (d *DataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_gateway"
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
func (d *DataSource) Schema(ctx context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	given := func(description string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional: true, Computed: true, MarkdownDescription: description,
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	attributes := seenSchema()
	attributes["id"] = given("Id of the gateway at the hub.")
	attributes["name"] = given("Name of the gateway; `system` is the one that runs beside the hub.")
	attributes["wait_for_connection"] = schema.BoolAttribute{
		Optional: true,
		MarkdownDescription: "Wait until the gateway is online. With `depends_on` on what starts the gateway, everything that uses this " +
			"data source comes after the gateway is there. Default: `false`.",
	}
	attributes["pairing_token"] = schema.StringAttribute{
		Optional: true, Sensitive: true,
		MarkdownDescription: "The gateway's own token, `palette_gateway.north.pairing_token`, used or not. With it a key that no process " +
			"vouches for that was paired with a token of that resource is an error, so that no hub can show a key of its own. " +
			"Default: the hub's word is taken.",
	}
	attributes["timeouts"] = timeouts.AttributesWithOpts(ctx, timeouts.Opts{
		ReadDescription: "How long to wait for the connection, such as `30m`. Default: `15m`.",
	})
	resp.Schema = schema.Schema{
		MarkdownDescription: "Looks a gateway up by id or by name, exactly one of which is given, and waits for its connection where that " +
			"is asked. One that does not exist is an error.",
		Attributes: attributes,
	}
}

// seenSchema is what both data sources show of a gateway.
func seenSchema() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"id":              text("Id of the gateway at the hub."),
		"name":            text("Name of the gateway."),
		"labels":          schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Labels of the gateway."},
		"system":          schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it is the gateway that runs beside the hub."},
		"status":          text("`pending` until a process has been paired as the gateway, then `online` or `offline`."),
		"version":         text("Version of the replica that works on clusters."),
		"public_key":      text(publicKeyText),
		"key_fingerprint": text(fingerprintText),
		"replicas": schema.ListNestedAttribute{
			Computed:            true,
			MarkdownDescription: "Processes that were paired as the gateway, by name.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"name":            text("Name of the replica, such as its host's."),
				"version":         text("Version of the replica."),
				"connected_since": text("Since when it is connected, as RFC 3339; null while it is not."),
				"holder":          schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it works on clusters. The others answer reads."},
			}},
		},
	}
}

// Read implements datasource.DataSource.
func (d *DataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m dataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	limit, diags := m.Timeouts.Read(ctx, defaultWait)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	gateway, err := d.look(ctx, &m)
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	if m.WaitForConnection.ValueBool() {
		waiting, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		gateway, err = waitOnline(waiting, d.client, gateway)
	}
	switch {
	case stopped(err):
		resp.Diagnostics.AddError("Gateway Is Not Online", whyStopped(err)+"\n\n"+standing(gateway))
	case errors.Is(err, hubapi.ErrNotFound):
		resp.Diagnostics.AddError("Unable to Read "+noun, "The gateway was deleted while it was waited for.")
	case err != nil:
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if fingerprint := gateway.KeyFingerprint(); fingerprint != "" && !vouched(gateway, m.PairingToken) {
		resp.Diagnostics.AddAttributeError(path.Root("pairing_token"), notVouched, notVouchedText(gateway.Name, fingerprint, "")+
			"If the gateway prints this very fingerprint (gateway status), leave pairing_token out and name the fingerprint where "+
			"secrets are sealed.")
		return
	}
	resp.Diagnostics.Append(m.fromAPI(ctx, gateway)...)
	m.System = types.BoolValue(gateway.System)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (d *DataSource) look(ctx context.Context, m *dataModel) (*hubapi.Gateway, error) {
	switch {
	case m.ID.ValueString() != "":
		return d.client.Gateway(ctx, m.ID.ValueString())
	case m.Name.ValueString() == hubapi.SystemGatewayID:
		return d.client.Gateway(ctx, hubapi.SystemGatewayID)
	default:
		return d.client.GatewayByName(ctx, m.Name.ValueString())
	}
}
