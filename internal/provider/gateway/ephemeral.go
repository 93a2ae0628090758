package gateway

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// Ephemeral is palette_gateway_pairing_token.
type Ephemeral struct {
	client *hubapi.Client
}

var (
	_ ephemeral.EphemeralResource              = (*Ephemeral)(nil)
	_ ephemeral.EphemeralResourceWithConfigure = (*Ephemeral)(nil)
)

// NewEphemeral returns the ephemeral resource.
func NewEphemeral() ephemeral.EphemeralResource { return &Ephemeral{} }

type ephemeralModel struct {
	GatewayID      types.String `tfsdk:"gateway_id"`
	TTL            types.String `tfsdk:"ttl"`
	KeyFingerprint types.String `tfsdk:"key_fingerprint"`
	PairingToken   types.String `tfsdk:"pairing_token"`
	ID             types.String `tfsdk:"id"`
	Token          types.String `tfsdk:"token"`
	ExpiresAt      types.String `tfsdk:"expires_at"`
}

// Metadata implements ephemeral.EphemeralResource.
func (e *Ephemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_gateway_pairing_token"
}

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (e *Ephemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// Schema implements ephemeral.EphemeralResource.
func (e *Ephemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A fresh pairing token for a gateway, in no plan and no state. Terraform opens ephemeral resources at plan and " +
			"at apply, each time with a token of its own; those that are not used expire.",
		Attributes: map[string]schema.Attribute{
			"gateway_id": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Id of the gateway that a process is to become.",
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"ttl": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "How long the token can be used, from `1m` to `168h`. Default: `1h`.",
				Validators:          []validator.String{tfkit.Duration(shortestTTL, longestTTL)},
			},
			"key_fingerprint": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Fingerprint that the gateway's key must have, such as `palette_gateway.north.key_fingerprint`; another " +
					"key is an error. Default: any.",
				Validators: []validator.String{tfkit.KeyFingerprint()},
			},
			"pairing_token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "The gateway's own token, `palette_gateway.north.pairing_token`, used or not. The new one then carries the " +
					"same introduction, which no hub knows: the gateway's replicas share their key with nobody else, and by it " +
					"`palette_gateway` knows a first replica's key. Default: an introduction of its own, good for a gateway without replicas " +
					"whose key is accepted by `accept_key_fingerprint`.",
			},
			"id": schema.StringAttribute{Computed: true, MarkdownDescription: "Id of the token, as logs and errors name it."},
			"token": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "The token. One process becomes the gateway with it, once.",
			},
			"expires_at": schema.StringAttribute{Computed: true, MarkdownDescription: "When the token expires, as RFC 3339."},
		},
	}
}

// Open implements ephemeral.EphemeralResource.
func (e *Ephemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m ephemeralModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ttl := hubapi.DefaultPairingTTL
	if text := m.TTL.ValueString(); text != "" {
		// The validator has refused what is no length of time.
		ttl, _ = time.ParseDuration(text)
	}
	introduction := introductionOf(m.PairingToken)
	if introduction == nil && m.PairingToken.ValueString() != "" {
		resp.Diagnostics.AddAttributeError(path.Root("pairing_token"), "Not a Pairing Token",
			"This is not the text of a pairing token: give palette_gateway's pairing_token whole.")
		return
	}
	token, pairing, err := e.client.Pair(ctx, m.GatewayID.ValueString(), hubapi.PairOptions{
		TTL: ttl, Fingerprint: m.KeyFingerprint.ValueString(), Introduction: introduction, Kept: true,
	})
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Open", "Pairing Token", tfkit.MoveField(err, "/ttl_seconds", "/ttl"))
		return
	}
	m.ID = types.StringValue(token.ID)
	m.Token = types.StringValue(token.String())
	m.ExpiresAt = types.StringValue(pairing.ExpiresAt.UTC().Format(time.RFC3339))
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
}
