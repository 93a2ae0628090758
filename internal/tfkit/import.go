package tfkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// ImportByIDOrName imports an object of the given noun, such as "Cluster", by its id, its name or its identity. Resolve
// finds the id and returns an error that is hubapi.ErrNotFound when there is none.
func ImportByIDOrName(ctx context.Context, noun string, req resource.ImportStateRequest, resp *resource.ImportStateResponse,
	resolve func(ctx context.Context, idOrName string) (string, error),
) {
	wanted := req.ID
	if wanted == "" && req.Identity != nil {
		var id types.String
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root("id"), &id)...)
		wanted = id.ValueString()
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if wanted == "" {
		resp.Diagnostics.AddError("Unable to Import "+noun,
			fmt.Sprintf("An id or a name of the %s is needed.", lowerWords(noun)))
		return
	}
	id, err := resolve(ctx, wanted)
	if errors.Is(err, hubapi.ErrNotFound) {
		resp.Diagnostics.AddError(noun+" Not Found",
			fmt.Sprintf("There is no %s with the id or name %q in this project.", lowerWords(noun), wanted))
		return
	}
	if err != nil {
		AppendError(&resp.Diagnostics, "Import", noun, err)
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
	if resp.Identity != nil {
		resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("id"), id)...)
	}
}
