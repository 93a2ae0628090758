package tfkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// GatewayReader finds gateways by id.
type GatewayReader interface {
	Gateway(ctx context.Context, id string) (*hubapi.Gateway, error)
}

// RefuseOtherHub adds an error when an object that is not found was kept with a gateway that is not found either. A gateway
// outlives what is kept with it, and the one beside a hub is there for good: the object was not deleted, but looked for in
// the wrong place. Making it anew would make a second one, and forgetting it would leave its machines. It tells whether it
// did.
func RefuseOtherHub(
	ctx context.Context, hub GatewayReader, verb, noun, id, gatewayID string, diags *diag.Diagnostics,
) bool {
	if gatewayID == "" {
		return false
	}
	if _, err := hub.Gateway(ctx, gatewayID); !errors.Is(err, hubapi.ErrNotFound) {
		return false
	}
	diags.AddError(fmt.Sprintf("Unable to %s %s", verb, noun), fmt.Sprintf(
		"The hub knows neither %s nor the gateway it was kept with, %s: these are other records than those the state was made "+
			"with.\n\nSet data_dir, endpoint or project, or their environment variables, to where the records are. Where they are lost "+
			"for good, remove what was kept in them from the state with terraform state rm; machines have then to be deleted in "+
			"the vCenter.", id, gatewayID))
	return true
}
