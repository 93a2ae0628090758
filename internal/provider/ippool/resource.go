// Package ippool owns the resource palette_ip_pool: the addresses that a gateway leases to machines.
package ippool

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework-validators/resourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const noun = "IP Pool"

// Resource is palette_ip_pool.
type Resource struct {
	client *hubapi.Client
}

var (
	_ resource.Resource                     = (*Resource)(nil)
	_ resource.ResourceWithConfigure        = (*Resource)(nil)
	_ resource.ResourceWithConfigValidators = (*Resource)(nil)
	_ resource.ResourceWithImportState      = (*Resource)(nil)
	_ resource.ResourceWithIdentity         = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan       = (*Resource)(nil)
	_ resource.ResourceWithValidateConfig   = (*Resource)(nil)
)

// NewResource returns the resource.
func NewResource() resource.Resource { return &Resource{} }

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_ip_pool"
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = tfkit.IdentitySchema(noun)
}

// Configure implements resource.ResourceWithConfigure.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// ConfigValidators implements resource.ResourceWithConfigValidators.
func (r *Resource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{
		resourcevalidator.ExactlyOneOf(path.MatchRoot("ranges"), path.MatchRoot("subnet")),
	}
}

// ImportState implements resource.ResourceWithImportState.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tfkit.ImportByIDOrName(ctx, noun, req, resp, func(ctx context.Context, wanted string) (string, error) {
		pool, err := r.find(ctx, wanted)
		if err != nil {
			return "", err
		}
		return pool.ID, nil
	})
}

// find looks a pool up by id, then by name.
func (r *Resource) find(ctx context.Context, wanted string) (*hubapi.IPPool, error) {
	if uuid.Validate(wanted) == nil {
		pool, err := r.client.IPPool(ctx, wanted)
		if err == nil || !errors.Is(err, hubapi.ErrNotFound) {
			return pool, err
		}
	}
	return r.client.IPPoolByName(ctx, wanted)
}

// Create implements resource.Resource.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	write := r.write(ctx, &plan, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	pool, err := r.client.PutIPPool(ctx, tfkit.NewID(), write, hubapi.WriteOptions{Create: true})
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Create", noun, err)
		return
	}
	resp.Diagnostics.Append(plan.fromAPI(ctx, pool)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	tfkit.SetIdentity(ctx, resp.Identity, pool.ID, &resp.Diagnostics)
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Also for a pool that has gone: a command line that knows no identity fails without one.
	tfkit.SetIdentity(ctx, resp.Identity, state.ID.ValueString(), &resp.Diagnostics)
	pool, err := r.client.IPPool(ctx, state.ID.ValueString())
	if errors.Is(err, hubapi.ErrNotFound) {
		if !r.refuseOtherHub(ctx, "Read", &state, &resp.Diagnostics) {
			resp.State.RemoveResource(ctx)
		}
		return
	}
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	resp.Diagnostics.Append(state.fromAPI(ctx, pool)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	write := r.write(ctx, &plan, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	pool, err := r.client.PutIPPool(ctx, state.ID.ValueString(), write, hubapi.WriteOptions{})
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Update", noun, err)
		return
	}
	resp.Diagnostics.Append(plan.fromAPI(ctx, pool)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	tfkit.SetIdentity(ctx, resp.Identity, pool.ID, &resp.Diagnostics)
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.client.DeleteIPPool(ctx, state.ID.ValueString())
	switch {
	case errors.Is(err, hubapi.ErrNotFound):
		r.refuseOtherHub(ctx, "Delete", &state, &resp.Diagnostics)
	case err != nil:
		tfkit.AppendError(&resp.Diagnostics, "Delete", noun, err)
	}
}

// refuseOtherHub is for what is not found.
func (r *Resource) refuseOtherHub(ctx context.Context, verb string, state *model, diags *diag.Diagnostics) bool {
	return tfkit.RefuseOtherHub(ctx, r.client, verb, noun, state.ID.ValueString(), state.GatewayID.ValueString(), diags)
}

// write is the wire form of the plan with the gateway's real id.
func (r *Resource) write(ctx context.Context, plan *model, diags *diag.Diagnostics) hubapi.IPPoolWrite {
	gatewayID := plan.GatewayID.ValueString()
	if gatewayID == "" {
		found, err := tfkit.DefaultGateway(ctx, r.client)
		if err != nil {
			tfkit.AppendGatewayError(diags, err)
			return hubapi.IPPoolWrite{}
		}
		gatewayID = found
	}
	write, d := plan.toWrite(ctx, gatewayID)
	diags.Append(d...)
	return write
}
