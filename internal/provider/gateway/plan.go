package gateway

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

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
	newKey := memory.Trusted != "" && memory.Seen != "" && memory.Seen != memory.Trusted
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
