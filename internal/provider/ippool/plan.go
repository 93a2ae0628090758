package ippool

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *Resource) ValidateConfig(
	ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse,
) {
	var prefix types.Int64
	var ranges types.List
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("prefix"), &prefix)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("ranges"), &ranges)...)
	if prefix.IsNull() && !ranges.IsNull() && !ranges.IsUnknown() {
		resp.Diagnostics.AddAttributeError(path.Root("prefix"), "Missing Prefix",
			"With ranges the prefix length that machines configure cannot be known: set prefix.")
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan. It fills in the default prefix and asks the hub what a planned
// change would meet.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	var configured types.Int64
	var gatewayID types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("prefix"), &configured)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("gateway_id"), &gatewayID)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if configured.IsNull() {
		plan.Prefix = defaultPrefix(plan.Subnet)
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("prefix"), plan.Prefix)...)
	}
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		if plan.sameWishes(&state) {
			resp.Plan.Raw = req.State.Raw
			return
		}
	}
	if resp.Diagnostics.HasError() || r.client == nil || gatewayID.IsUnknown() || !plan.known() {
		return
	}
	r.preview(ctx, &plan, state.ID.ValueString(), &resp.Diagnostics)
}

// preview adds what the hub would refuse. A hub that cannot be known yet is no error: the apply will ask it.
func (r *Resource) preview(ctx context.Context, plan *model, id string, diags *diag.Diagnostics) {
	gatewayID := plan.GatewayID.ValueString()
	if gatewayID == "" {
		found, err := tfkit.DefaultGateway(ctx, r.client)
		if err != nil {
			if !errors.Is(err, hubapi.ErrUnconfigured) {
				tfkit.AppendGatewayError(diags, err)
			}
			return
		}
		gatewayID = found
	}
	write, d := plan.toWrite(ctx, gatewayID)
	diags.Append(d...)
	if diags.HasError() {
		return
	}
	problems, err := r.client.PreviewIPPool(ctx, hubapi.IPPoolPreview{
		ID: id, Write: write, Beside: underway.join(r.client, write),
	})
	if err != nil {
		appendPreviewError(diags, err)
		return
	}
	tfkit.AppendProblems(diags, problems)
}

func appendPreviewError(diags *diag.Diagnostics, err error) {
	if !errors.Is(err, hubapi.ErrUnconfigured) {
		tfkit.AppendError(diags, "Preview", noun, err)
	}
}

// defaultPrefix is the prefix length where none is configured.
func defaultPrefix(subnet cidrtypes.IPPrefix) types.Int64 {
	if subnet.IsUnknown() {
		return types.Int64Unknown()
	}
	return prefixOf(subnet)
}
