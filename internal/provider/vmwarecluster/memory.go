package vmwarecluster

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// memory is what private state keeps of a cluster beside its state.
type memory struct {
	// Generation is the one the state was read from. 0 asks for no check that it still is the last one.
	Generation int64 `json:"generation"`
	// Origin is the gateway that made the cluster.
	Origin string `json:"origin"`
}

func remember(ctx context.Context, private tfkit.PrivateWriter, c *hubapi.Cluster) diag.Diagnostics {
	return tfkit.SetPrivate(ctx, private, memoryKey, memory{Generation: c.Generation, Origin: c.Status.Origin})
}

// refuseOtherHub adds an error to what happens to a cluster that is not found when it is looked for in other records than
// those that the state was made with. It tells whether it did. A hub that knows the cluster's cloud account is the right one,
// wherever the account has moved since the cluster was made.
func (r *Resource) refuseOtherHub(
	ctx context.Context, verb string, state model, private tfkit.PrivateReader, diags *diag.Diagnostics,
) bool {
	if _, err := r.records.CloudAccount(ctx, state.CloudAccountID.ValueString()); !errors.Is(err, hubapi.ErrNotFound) {
		return false
	}
	before, d := tfkit.GetPrivate[memory](ctx, private, memoryKey)
	diags.Append(d...)
	return tfkit.RefuseOtherHub(ctx, r.records, verb, noun, state.ID.ValueString(), before.Origin, diags)
}
