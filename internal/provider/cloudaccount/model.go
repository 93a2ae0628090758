package cloudaccount

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// model is the resource as Terraform has it.
type model struct {
	ID                types.String   `tfsdk:"id"`
	Name              types.String   `tfsdk:"name"`
	GatewayID         types.String   `tfsdk:"gateway_id"`
	VCenter           types.String   `tfsdk:"vcenter"`
	GatewayKey        types.String   `tfsdk:"gateway_key_fingerprint"`
	Username          types.String   `tfsdk:"username"`
	PasswordWO        types.String   `tfsdk:"password_wo"`
	PasswordWOVersion types.Int64    `tfsdk:"password_wo_version"`
	CACertificate     types.String   `tfsdk:"ca_certificate"`
	Thumbprints       types.List     `tfsdk:"thumbprints"`
	Insecure          types.Bool     `tfsdk:"insecure"`
	Verify            types.Object   `tfsdk:"verify"`
	VCenterVersion    types.String   `tfsdk:"vcenter_version"`
	InstanceUUID      types.String   `tfsdk:"instance_uuid"`
	Timeouts          timeouts.Value `tfsdk:"timeouts"`
}

// verifyModel names the objects on which privileges are checked.
type verifyModel struct {
	Datacenter      types.String `tfsdk:"datacenter"`
	ComputeCluster  types.String `tfsdk:"compute_cluster"`
	Folder          types.String `tfsdk:"folder"`
	Datastore       types.String `tfsdk:"datastore"`
	Network         types.String `tfsdk:"network"`
	ResourcePool    types.String `tfsdk:"resource_pool"`
	TemplatesFolder types.String `tfsdk:"templates_folder"`
}

// verifyTypes are the attributes of verifyModel.
var verifyTypes = map[string]attr.Type{
	"datacenter":       types.StringType,
	"compute_cluster":  types.StringType,
	"folder":           types.StringType,
	"datastore":        types.StringType,
	"network":          types.StringType,
	"resource_pool":    types.StringType,
	"templates_folder": types.StringType,
}

// toSpec is the wire form of a model whose values are known; the gateway's id is given as the hub knows it.
func (m *model) toSpec(ctx context.Context, gatewayID string) (hubapi.CloudAccountSpec, diag.Diagnostics) {
	var thumbprints []string
	diags := m.Thumbprints.ElementsAs(ctx, &thumbprints, false)
	spec := hubapi.CloudAccountSpec{
		GatewayID: gatewayID,
		VCenter:   canonicalVCenter(m.VCenter.ValueString()),
		Username:  m.Username.ValueString(),
		Trust: hubapi.Trust{
			CACertificate: canonicalPEM(m.CACertificate.ValueString()),
			Thumbprints:   canonicalThumbprints(thumbprints),
			Insecure:      m.Insecure.ValueBool(),
		},
	}
	if !m.Verify.IsNull() {
		var v verifyModel
		diags.Append(m.Verify.As(ctx, &v, basetypes.ObjectAsOptions{})...)
		spec.Verify = &hubapi.VerifyObjects{
			Datacenter:      v.Datacenter.ValueString(),
			ComputeCluster:  v.ComputeCluster.ValueString(),
			Folder:          v.Folder.ValueString(),
			Datastore:       v.Datastore.ValueString(),
			Network:         v.Network.ValueString(),
			ResourcePool:    v.ResourcePool.ValueString(),
			TemplatesFolder: v.TemplatesFolder.ValueString(),
		}
	}
	return spec, diags
}

// fromAPI takes over what the hub says. A spelling that means the same as the hub's is kept.
func (m *model) fromAPI(ctx context.Context, account *hubapi.CloudAccount) diag.Diagnostics {
	var diags diag.Diagnostics
	spec := account.Spec
	m.ID = types.StringValue(account.ID)
	m.Name = types.StringValue(account.Name)
	m.GatewayID = types.StringValue(spec.GatewayID)
	m.VCenter = keep(m.VCenter, spec.VCenter, sameVCenter)
	m.Username = types.StringValue(spec.Username)
	m.CACertificate = keep(m.CACertificate, spec.Trust.CACertificate, samePEM)
	thumbprints, d := thumbprintsFromAPI(ctx, m.Thumbprints, spec.Trust.Thumbprints)
	diags.Append(d...)
	m.Thumbprints = thumbprints
	m.Insecure = types.BoolValue(spec.Trust.Insecure)
	m.Verify, d = verifyFromAPI(ctx, m.Verify, spec.Verify)
	diags.Append(d...)
	m.VCenterVersion = types.StringValue(account.Status.VCenterVersion)
	m.InstanceUUID = types.StringValue(account.Status.InstanceUUID)
	return diags
}

func thumbprintsFromAPI(ctx context.Context, old types.List, theirs []string) (types.List, diag.Diagnostics) {
	if len(theirs) == 0 {
		return types.ListNull(types.StringType), nil
	}
	if !old.IsNull() && !old.IsUnknown() {
		var ours []string
		diags := old.ElementsAs(ctx, &ours, false)
		if diags.HasError() || sameThumbprints(ours, theirs) {
			return old, diags
		}
	}
	return types.ListValueFrom(ctx, types.StringType, theirs)
}

// verifyFromAPI takes over the objects. An empty block and none mean the same to the hub; the written one is kept.
func verifyFromAPI(
	ctx context.Context, old types.Object, objects *hubapi.VerifyObjects,
) (types.Object, diag.Diagnostics) {
	if objects == nil || *objects == (hubapi.VerifyObjects{}) {
		if old.IsNull() || old.IsUnknown() {
			return types.ObjectNull(verifyTypes), nil
		}
		objects = &hubapi.VerifyObjects{}
	}
	return types.ObjectValueFrom(ctx, verifyTypes, verifyModel{
		Datacenter:      orNull(objects.Datacenter),
		ComputeCluster:  orNull(objects.ComputeCluster),
		Folder:          orNull(objects.Folder),
		Datastore:       orNull(objects.Datastore),
		Network:         orNull(objects.Network),
		ResourcePool:    orNull(objects.ResourcePool),
		TemplatesFolder: orNull(objects.TemplatesFolder),
	})
}

// bound is what a sealed password is bound to besides the account's id: a change of it needs the password again.
func (m *model) bound(ctx context.Context) (string, diag.Diagnostics) {
	only := *m
	only.Verify = types.ObjectNull(verifyTypes) // what is checked is no part of it, and need not be known
	spec, diags := only.toSpec(ctx, m.GatewayID.ValueString())
	parts := append([]string{spec.GatewayID, spec.VCenter, spec.Username, spec.Trust.CACertificate}, spec.Trust.Thumbprints...)
	if spec.Trust.Insecure {
		parts = append(parts, "insecure")
	}
	return strings.Join(parts, "\x00"), diags
}

// boundKnown tells whether everything that a sealed password is bound to is known.
func (m *model) boundKnown() bool {
	return !m.GatewayID.IsUnknown() && !m.VCenter.IsUnknown() && !m.Username.IsUnknown() && !m.CACertificate.IsUnknown() &&
		!m.Insecure.IsUnknown() && !m.Thumbprints.IsUnknown() && !hasUnknown(m.Thumbprints)
}

// sameWishes tells whether two models ask the same of the hub, whatever was computed.
func (m *model) sameWishes(other *model) bool {
	return m.Name.Equal(other.Name) && m.GatewayID.Equal(other.GatewayID) && m.GatewayKey.Equal(other.GatewayKey) &&
		m.VCenter.Equal(other.VCenter) && m.Username.Equal(other.Username) && m.PasswordWOVersion.Equal(other.PasswordWOVersion) &&
		m.CACertificate.Equal(other.CACertificate) && m.Thumbprints.Equal(other.Thumbprints) &&
		m.Insecure.Equal(other.Insecure) && m.Verify.Equal(other.Verify) && m.Timeouts.Equal(other.Timeouts)
}

func hasUnknown(list types.List) bool {
	for _, e := range list.Elements() {
		if e.IsUnknown() {
			return true
		}
	}
	return false
}

// keep returns the old value where the hub's means the same, and null for what the hub does not have.
func keep(old types.String, theirs string, same func(a, b string) bool) types.String {
	if !old.IsNull() && !old.IsUnknown() && same(old.ValueString(), theirs) {
		return old
	}
	return orNull(theirs)
}

func orNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}
