package tfkit

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// NoNulls refuses null elements of a list or map. The framework cannot make plain Go values of them and would call that
// an error of the provider.
type NoNulls struct{}

var (
	_ validator.List = NoNulls{}
	_ validator.Map  = NoNulls{}
)

// Description implements validator.List and validator.Map.
func (NoNulls) Description(context.Context) string { return "must have no null elements" }

// MarkdownDescription implements validator.List and validator.Map.
func (n NoNulls) MarkdownDescription(ctx context.Context) string { return n.Description(ctx) }

// ValidateList implements validator.List. Null and unknown values pass.
func (NoNulls) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	for i, element := range req.ConfigValue.Elements() {
		if element.IsNull() {
			addNullElement(&resp.Diagnostics, req.Path.AtListIndex(i), "Where it may be missing, wrap the list in compact().")
		}
	}
}

// ValidateMap implements validator.Map. Null and unknown values pass.
func (NoNulls) ValidateMap(_ context.Context, req validator.MapRequest, resp *validator.MapResponse) {
	for key, element := range req.ConfigValue.Elements() {
		if element.IsNull() {
			addNullElement(&resp.Diagnostics, req.Path.AtMapKey(key),
				"Where it may be missing, leave it out: { for k, v in ... : k => v if v != null }.")
		}
	}
}

func addNullElement(diags *diag.Diagnostics, at path.Path, advice string) {
	diags.AddAttributeError(at, "Null Element", fmt.Sprintf("%s is null. %s", at, advice))
}
