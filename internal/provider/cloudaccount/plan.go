package cloudaccount

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// nullPassword is what plan and state have for the write-only password.
var nullPassword = types.StringNull()

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *Resource) ValidateConfig(
	ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse,
) {
	var insecure types.Bool
	var certificate types.String
	var thumbprints types.List
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("insecure"), &insecure)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("ca_certificate"), &certificate)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("thumbprints"), &thumbprints)...)
	// A value that is not known yet may turn out to be null; only what is written down is a contradiction.
	written := (!certificate.IsNull() && !certificate.IsUnknown()) || (!thumbprints.IsNull() && !thumbprints.IsUnknown())
	if insecure.ValueBool() && written {
		resp.Diagnostics.AddAttributeError(path.Root("insecure"), "Contradicting Trust",
			"insecure = true believes any certificate, so ca_certificate or thumbprints would never be looked at. Keep one "+
				"of them.")
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("password_wo"), &plan.PasswordWO)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		requirePassword(&plan, "at create", &resp.Diagnostics)
		return
	}
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.sameWishes(&state) {
		// Only the spelling of something differs: then nothing is computed anew either.
		resp.Plan.Raw = req.State.Raw
		return
	}
	checkPassword(ctx, &plan, &state, &resp.Diagnostics)
}

// checkPassword refuses an update that needs the password and does not have it.
func checkPassword(ctx context.Context, plan, state *model, diags *diag.Diagnostics) {
	if plan.PasswordWOVersion.IsUnknown() {
		return
	}
	if !plan.PasswordWOVersion.Equal(state.PasswordWOVersion) {
		requirePassword(plan, "when password_wo_version changes", diags)
		return
	}
	if !plan.boundKnown() {
		return
	}
	before, d := state.bound(ctx)
	diags.Append(d...)
	after, d := plan.bound(ctx)
	diags.Append(d...)
	if before != after {
		diags.AddAttributeError(path.Root("password_wo_version"), "Password Needed Again",
			"The password is sealed for exactly this gateway, vCenter, user and trust (ca_certificate, thumbprints, insecure), and one "+
				"of them changes. Raise password_wo_version, so that password_wo is sealed for the new ones.")
	}
}

// requirePassword tells whether the configuration has a password, or may have one.
func requirePassword(m *model, when string, diags *diag.Diagnostics) bool {
	if !m.PasswordWO.IsNull() {
		return true
	}
	diags.AddAttributeError(path.Root("password_wo"), "Missing Password", "password_wo is needed "+when+".")
	return false
}
