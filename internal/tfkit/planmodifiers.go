package tfkit

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
)

// KeepEquivalent keeps the prior value when the configured one means the same, so that another spelling is no change.
// Meaning names in a sentence what is compared, for the description.
func KeepEquivalent(meaning string, same func(prior, configured string) bool) planmodifier.String {
	return keepEquivalent{meaning: meaning, same: same}
}

type keepEquivalent struct {
	meaning string
	same    func(prior, configured string) bool
}

// Description implements planmodifier.String.
func (m keepEquivalent) Description(context.Context) string {
	return "Another spelling of the same " + m.meaning + " is no change."
}

// MarkdownDescription implements planmodifier.String.
func (m keepEquivalent) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// PlanModifyString implements planmodifier.String.
func (m keepEquivalent) PlanModifyString(
	_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse,
) {
	if req.StateValue.IsNull() || req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if m.same(req.StateValue.ValueString(), req.ConfigValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}
