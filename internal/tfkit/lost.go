package tfkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// RefuseOtherHub adds an error when an object that is not found was kept with a gateway that this hub does not have, though
// it has one beside it: then the object was not deleted, but looked for in the wrong place, and making it anew would make a
// second one. It tells whether it did.
func RefuseOtherHub(
	ctx context.Context, client *hubapi.Client, noun, id, gatewayID string, diags *diag.Diagnostics,
) bool {
	gateway, err := client.Gateway(ctx, hubapi.SystemGatewayID)
	if err != nil || gatewayID == "" || gateway.ID == gatewayID {
		return false
	}
	if _, err := client.Gateway(ctx, gatewayID); !errors.Is(err, hubapi.ErrNotFound) {
		return false
	}
	diags.AddError(fmt.Sprintf("Unable to Read %s", noun), fmt.Sprintf(
		"The hub does not know %s, and its gateway is %s, while the state says gateway %s: these are other records than "+
			"those the state was made with.\n\nSet data_dir, PALETTE_DATA_DIR or endpoint to where the records are. Where they "+
			"are lost for good, remove what was kept in them from the state with terraform state rm.",
		id, gateway.ID, gatewayID))
	return true
}
