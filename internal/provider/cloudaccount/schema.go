package cloudaccount

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const boundNote = "A change needs the password again, because it is sealed for this value: raise " +
	"`password_wo_version`."

// Schema implements resource.Resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A vCenter with its trust and credentials, bound to one gateway. Create and update log in once " +
			"through the gateway and verify version, credentials and, with `verify`, privileges. The password is sealed to the " +
			"gateway's key before it leaves the provider; neither Terraform's state nor the hub can read it.\n\n" +
			"Trust comes from `ca_certificate`, `thumbprints` or the system's CAs of the gateway. Never from nothing, " +
			"unless `insecure` says so.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Id of the cloud account at the hub.",
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name, unique in the project: a DNS label of at most 63 characters.",
				Validators:          []validator.String{tfkit.DNSLabel()},
			},
			"gateway_id": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Id of the gateway that reaches the vCenter. " + tfkit.DefaultGatewayText +
					" A change moves the account's clusters to the other gateway without touching a " +
					"machine; both gateways have to " +
					"be online. " + boundNote,
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
				Validators:    []validator.String{tfkit.GatewayID()},
			},
			"gateway_key_fingerprint": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Fingerprint that the gateway's key must have when the password is sealed, such as " +
					"`palette_gateway.north.key_fingerprint`. Default: the key that the account was sealed to first; one " +
					"that was rotated is not used for it, and another one is an error, until it is named here.",
				Validators: []validator.String{tfkit.KeyFingerprint()},
			},
			"vcenter": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Host name or address of the vCenter, with a port where that is not 443. A URL is " +
					"understood " +
					"too: `https://vcenter.example.com/sdk` is `vcenter.example.com`. " + boundNote,
				PlanModifiers: []planmodifier.String{tfkit.KeepEquivalent("address", sameVCenter)},
				Validators:    []validator.String{tfkit.VCenterAddress()},
			},
			"username": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "User to log in as, such as `palette@vsphere.local`. " + boundNote,
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"password_wo": schema.StringAttribute{
				Optional: true, Sensitive: true, WriteOnly: true,
				MarkdownDescription: "Password of the user. It is write-only: Terraform keeps it in neither plan nor state. " +
					"Needed at create and whenever `password_wo_version` changes.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"password_wo_version": schema.Int64Attribute{
				Optional: true,
				MarkdownDescription: "Any number that changes when `password_wo` does; a change sends the password again. An " +
					"update without one keeps the old password.",
				Validators: []validator.Int64{int64validator.AtLeast(0)},
			},
			"ca_certificate": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Certificates in PEM form that the vCenter's certificate is checked against. Conflicts " +
					"with " +
					"`thumbprints` and `insecure`. " + boundNote,
				PlanModifiers: []planmodifier.String{tfkit.KeepEquivalent("certificates", samePEM)},
				Validators: []validator.String{
					tfkit.CACertificate(), stringvalidator.ConflictsWith(path.MatchRoot("thumbprints")),
				},
			},
			"thumbprints": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "SHA-1 or SHA-256 thumbprints of the vCenter's certificate, in hex with colons; one of " +
					"them has to fit. Give the old and the new one while a certificate is rotated. Conflicts with " +
					"`ca_certificate` and " +
					"`insecure`. " + boundNote,
				PlanModifiers: []planmodifier.List{keepThumbprints{}},
				Validators: []validator.List{
					tfkit.NoNulls{},
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(),
					listvalidator.ValueStringsAre(tfkit.Thumbprint()),
				},
			},
			"insecure": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Believe any certificate. Whoever sits between gateway and vCenter can then take the " +
					"password. " +
					"Default: `false`. " + boundNote,
			},
			"verify": verifySchema(),
			"vcenter_version": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Version of the vCenter when it was last verified, such as `8.0.3`.",
			},
			"instance_uuid": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Instance UUID of the vCenter.",
			},
			"timeouts": timeouts.Attributes(ctx, timeouts.Opts{
				Create: true, Update: true,
				CreateDescription: "How long login and verification may take, such as `90s`. Default: `5m`.",
				UpdateDescription: "How long login and verification may take, such as `90s`. Default: `5m`.",
			}),
		},
	}
}

func verifySchema() schema.SingleNestedAttribute {
	object := func(what string) schema.StringAttribute {
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: what + ", by name or full inventory path.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Objects on which the privileges that clusters need are checked at create and update. Each " +
			"missing privilege is named with the object's path and the propagation it needs. Those that are not set are not " +
			"checked.",
		Attributes: map[string]schema.Attribute{
			"datacenter":       object("Datacenter of the clusters"),
			"compute_cluster":  object("Compute cluster that machines run on"),
			"folder":           object("Folder that machines are put into"),
			"datastore":        object("Datastore of the machines' disks"),
			"network":          object("Network of the machines"),
			"resource_pool":    object("Resource pool of the machines"),
			"templates_folder": object("Folder of the templates"),
		},
	}
}

// keepThumbprints keeps the prior list when the configured one differs by case only.
type keepThumbprints struct{}

// Description implements planmodifier.List.
func (keepThumbprints) Description(context.Context) string {
	return "Another spelling of the same thumbprints is no change."
}

// MarkdownDescription implements planmodifier.List.
func (m keepThumbprints) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyList implements planmodifier.List.
func (keepThumbprints) PlanModifyList(ctx context.Context, req planmodifier.ListRequest, resp *planmodifier.ListResponse) {
	if req.StateValue.IsNull() || req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() || hasUnknown(req.ConfigValue) {
		return
	}
	var old, wanted []string
	resp.Diagnostics.Append(req.StateValue.ElementsAs(ctx, &old, false)...)
	resp.Diagnostics.Append(req.ConfigValue.ElementsAs(ctx, &wanted, false)...)
	if sameThumbprints(old, wanted) {
		resp.PlanValue = req.StateValue
	}
}
