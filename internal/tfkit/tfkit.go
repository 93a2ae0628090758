// Package tfkit owns what the provider's objects share: taking the hub's client from the provider's data, turning
// the hub's errors into diagnostics on the attribute at fault, import by id or name, and validators used by several
// objects. Only packages of the provider use it.
package tfkit

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Configure returns the hub's client that the provider handed over. It returns nil without a diagnostic while the
// provider is not configured, as during validation.
func Configure(providerData any, diags *diag.Diagnostics) *hubapi.Client {
	if providerData == nil {
		return nil
	}
	client, ok := providerData.(*hubapi.Client)
	if !ok {
		diags.AddError("Unexpected Provider Data",
			fmt.Sprintf("The provider handed over %T instead of *hubapi.Client. This is a bug in the provider: please "+
				"report it.",
				providerData))
		return nil
	}
	return client
}

// NewID returns a random id for a record. The client chooses it, so that a repeated request never makes a second
// record.
func NewID() string { return uuid.NewString() }
