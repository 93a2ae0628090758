package gateway

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const (
	defaultTTL  = "1h"
	shortestTTL = time.Minute
	longestTTL  = 7 * 24 * time.Hour
	// longestLabel is the longest key or value of a label.
	longestLabel = 63
)

// The descriptions that resource and data sources share.
const (
	statusText = "`pending` until a process has been paired as the gateway, then `online` or `offline`. Read at every refresh; it " +
		"never makes a plan of its own."
	versionText     = "Version of the replica that works on clusters. Read at every refresh."
	replicasText    = "Processes that were paired as the gateway, by name. Read at every refresh."
	publicKeyText   = "Public key that secrets are sealed to, base64."
	fingerprintText = "Fingerprint of `public_key`, such as `sha256:3f9a...`. The gateway prints the same one when it is paired."
)

// Schema implements resource.Resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A private cloud gateway: a process in the private network that dials out to the hub and works next to " +
			"the vCenter. The resource makes the gateway known to the hub, and a pairing token with which one process becomes it. " +
			"It needs a hub of its own: the hub inside the provider (embedded mode) has its system gateway and no other.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Id of the gateway at the hub.",
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name, unique in the project: a DNS label of at most 63 characters.",
				Validators:          []validator.String{tfkit.DNSLabel()},
			},
			"labels": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Labels that `palette_gateways` chooses by, such as `site = \"north\"`.",
				Validators: []validator.Map{
					tfkit.NoNulls{},
					mapvalidator.KeysAre(stringvalidator.LengthBetween(1, longestLabel)),
					mapvalidator.ValueStringsAre(stringvalidator.LengthAtMost(longestLabel)),
				},
			},
			"recovery_key": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The organisation's public recovery key, base64, as `gateway recovery-key` makes it. The gateway " +
					"keeps its own key sealed to it, so that a gateway that was lost can be made again and still opens what was " +
					"sealed to the old one. Default: none.",
				Validators: []validator.String{tfkit.Base64()},
			},
			"wait_for_connection": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Wait at create and update until the gateway is online. Terraform shows `pairing_token` and " +
					"`install` to other resources only when this one is done: leave it out where the same apply starts the gateway, " +
					"and let the data source `palette_gateway` wait. Default: `false`.",
			},
			"pairing_trigger": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Any text. A change makes a new pairing token, for another replica or for one in the place of a lost " +
					"one. Replicas that are paired stay as they are.",
			},
			"pairing_ttl": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(defaultTTL),
				MarkdownDescription: "How long a pairing token can be used, from `1m` to `168h`. It counts for the next token that is " +
					"made. Default: `1h`.",
				Validators: []validator.String{tfkit.Duration(shortestTTL, longestTTL)},
			},
			"accept_key_fingerprint": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Fingerprint of a key that the gateway may have instead of the one it had; for a gateway without a key, " +
					"that of the only one it may get. A key that changes without this being set to the new one's fingerprint and without the " +
					"gateway vouching for it, as it does for one that it has rotated, and a first one " +
					"that no process vouches for that was paired with a token of this resource, are errors, because secrets would be sealed to it.",
				Validators: []validator.String{tfkit.KeyFingerprint()},
			},
			"status":   schema.StringAttribute{Computed: true, MarkdownDescription: statusText},
			"version":  schema.StringAttribute{Computed: true, MarkdownDescription: versionText},
			"replicas": replicasSchema(),
			"public_key": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: publicKeyText,
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseNonNullStateForUnknown()},
			},
			"key_fingerprint": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: fingerprintText,
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseNonNullStateForUnknown()},
			},
			"pairing_token": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "Token with which one process becomes the gateway, once, within `pairing_ttl`. It stays in the state " +
					"when it has been used or has expired: nobody is paired with it then, but what it has in common with all tokens of the " +
					"gateway lets replicas know who may join them. `palette_gateway_pairing_token` gives one that is in no state. " +
					"Null after an import.",
			},
			"pairing_expires_at": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "When `pairing_token` expires, as RFC 3339.",
			},
			"install":   installSchema(),
			"appliance": applianceSchema(),
			"machines":  machinesSchema(),
			"appliance_access": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "The appliance's password, encrypted with a key that only the hub has, for the destruction of the VMs.",
			},
			"timeouts": timeouts.Attributes(ctx, timeouts.Opts{
				Create: true, Update: true,
				CreateDescription: "How long to wait for the connection, such as `30m`. Default: `15m`.",
				UpdateDescription: "How long to wait for the connection, such as `30m`. Default: `15m`.",
			}),
		},
	}
}

func replicasSchema() schema.ListNestedAttribute {
	return schema.ListNestedAttribute{
		Computed:            true,
		MarkdownDescription: replicasText,
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"name":    schema.StringAttribute{Computed: true, MarkdownDescription: "Name of the replica, such as its host's."},
			"version": schema.StringAttribute{Computed: true, MarkdownDescription: "Version of the replica."},
			"connected_since": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Since when it is connected, as RFC 3339; null while it is not.",
			},
			"holder": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it works on clusters. The others answer reads."},
		}},
	}
}
