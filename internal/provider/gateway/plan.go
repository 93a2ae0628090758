package gateway

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// ModifyPlan implements resource.ResourceWithModifyPlan. It refuses what cannot be, and decides which computed values an
// apply makes anew.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	if req.State.Raw.IsNull() {
		if r.client != nil && r.client.Embedded() {
			resp.Diagnostics.AddError("Gateway Needs a Hub", embeddedText)
		}
		r.planPassword(ctx, req, nil, resp)
		return
	}
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	memory, diags := tfkit.GetPrivate[keyMemory](ctx, req.Private, keyName)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !plan.AcceptKeyFingerprint.IsUnknown() {
		memory.refuse(state.Name.ValueString(), plan.AcceptKeyFingerprint.ValueString(), &resp.Diagnostics)
	}
	set := func(name string, value attr.Value) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root(name), value)...)
	}
	if plan.renews(&state) {
		set("pairing_token", types.StringUnknown())
		set("pairing_expires_at", types.StringUnknown())
		set("install", types.ObjectUnknown(installTypes))
	} else {
		set("pairing_token", state.PairingToken)
		set("pairing_expires_at", state.PairingExpiresAt)
		set("install", state.Install)
	}
	r.planPassword(ctx, req, &state, resp)
	needed := func() bool { return state.lost(ctx) || r.outdated(ctx, req.Private, &resp.Diagnostics) }
	if !plan.Appliance.Equal(state.Appliance) || !plan.Appliance.IsNull() && needed() {
		set("machines", types.ListUnknown(machineType))
		set("appliance_access", types.StringUnknown())
		set("status", types.StringUnknown())
		set("version", types.StringUnknown())
		set("replicas", types.ListUnknown(replicaType))
	} else {
		set("machines", state.Machines)
		set("appliance_access", state.Access)
	}
	newKey := memory.Seen != "" && memory.Seen != memory.Trusted
	if newKey {
		set("public_key", types.StringUnknown())
		set("key_fingerprint", types.StringUnknown())
	}
	if plan.awaits(&state) {
		set("status", types.StringUnknown())
		set("version", types.StringUnknown())
		set("replicas", types.ListUnknown(replicaType))
		if state.PublicKey.IsNull() {
			set("public_key", types.StringUnknown())
			set("key_fingerprint", types.StringUnknown())
		}
	}
}

const embeddedText = "A gateway dials out to a hub that runs on its own, and this provider has none: without an endpoint the hub is " +
	"part of the provider, ends with the apply, and works through its system gateway alone.\n\n" +
	"Set endpoint and token of the provider to a hub, or leave the gateway out where Terraform can reach the vCenter itself: " +
	"cloud accounts and address pools use the system gateway by default."

// renews tells whether the plan asks for another pairing token.
func (m *model) renews(state *model) bool { return !m.PairingTrigger.Equal(state.PairingTrigger) }

// awaits tells whether the apply is to go on waiting for a gateway that has never been connected. One that was and is away
// for the moment makes no plan.
func (m *model) awaits(state *model) bool {
	return m.WaitForConnection.ValueBool() && state.Status.ValueString() == string(hubapi.GatewayPending)
}

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *Resource) ValidateConfig(
	ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse,
) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	a, diags := m.appliance(ctx)
	resp.Diagnostics.Append(diags...)
	if a == nil || resp.Diagnostics.HasError() {
		return
	}
	at := path.Root("appliance")
	trusts := 0
	for _, set := range []bool{
		!a.CACertificate.IsNull() && !a.CACertificate.IsUnknown(), !a.Thumbprints.IsNull() && !a.Thumbprints.IsUnknown(),
		a.Insecure.ValueBool(),
	} {
		if set {
			trusts++
		}
	}
	if trusts > 1 {
		resp.Diagnostics.AddAttributeError(at, "Contradicting Trust", "Give at most one of ca_certificate, thumbprints and insecure.")
	}
	if a.NetworkConfig.IsNull() || a.NetworkConfig.IsUnknown() || a.Replicas.IsUnknown() {
		return
	}
	var n networkModel
	resp.Diagnostics.Append(a.NetworkConfig.As(ctx, &n, basetypes.ObjectAsOptions{})...)
	wanted := max(int(a.Replicas.ValueInt64()), 1)
	if n.Addresses.IsNull() || n.Addresses.IsUnknown() || len(n.Addresses.Elements()) >= wanted {
		return
	}
	resp.Diagnostics.AddAttributeError(at.AtName("network_config").AtName("addresses"), "Too Few Addresses", fmt.Sprintf(
		"%d replicas need at least as many addresses.", wanted))
}

// planPassword refuses an appliance that needs the password and does not have it, and one that would leave VMs behind in
// another vCenter.
func (r *Resource) planPassword(ctx context.Context, req resource.ModifyPlanRequest, state *model, resp *resource.ModifyPlanResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	wanted, diags := plan.appliance(ctx)
	resp.Diagnostics.Append(diags...)
	if wanted == nil || resp.Diagnostics.HasError() {
		return
	}
	if r.client != nil && r.deployer == nil {
		resp.Diagnostics.AddAttributeError(path.Root("appliance"), "No Appliances", "This build of the provider makes no VMs.")
	}
	var had *applianceModel
	if state != nil {
		had, diags = state.appliance(ctx)
		resp.Diagnostics.Append(diags...)
	}
	secret, diags := readPassword(ctx, req.Config, &plan)
	resp.Diagnostics.Append(diags...)
	switch {
	case had != nil && !wanted.VCenter.IsUnknown() && !wanted.VCenter.Equal(had.VCenter):
		resp.Diagnostics.AddAttributeError(path.Root("appliance").AtName("vcenter"), "VCenter Cannot Change",
			"The gateway's VMs are in "+had.VCenter.ValueString()+". Make another gateway in the other vCenter, move the cloud accounts to it, "+
				"and remove this one.")
	case secret != "" || r.unknownPassword(ctx, req):
	case had == nil:
		resp.Diagnostics.AddAttributeError(password, "Missing Password", "password_wo is needed to make the appliance.")
	case !wanted.PasswordWOVersion.Equal(had.PasswordWOVersion):
		resp.Diagnostics.AddAttributeError(password, "Missing Password", "password_wo is needed when password_wo_version changes.")
	}
}

// unknownPassword tells whether the password is not known yet.
func (r *Resource) unknownPassword(ctx context.Context, req resource.ModifyPlanRequest) bool {
	var value types.String
	return !req.Config.GetAttribute(ctx, password, &value).HasError() && value.IsUnknown()
}
