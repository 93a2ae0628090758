// Package cloudaccount owns the resource and the data source palette_cloud_account: a vCenter with its trust and
// credentials. It seals the password to the gateway's key before it leaves the provider.
package cloudaccount

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const (
	noun           = "Cloud Account"
	defaultTimeout = 5 * time.Minute
	// keyName is where the fingerprint of the gateway's key is kept in private state.
	keyName = "gateway_key"
)

// Resource is palette_cloud_account.
type Resource struct {
	client *hubapi.Client
}

var (
	_ resource.Resource                   = (*Resource)(nil)
	_ resource.ResourceWithConfigure      = (*Resource)(nil)
	_ resource.ResourceWithImportState    = (*Resource)(nil)
	_ resource.ResourceWithIdentity       = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan     = (*Resource)(nil)
	_ resource.ResourceWithValidateConfig = (*Resource)(nil)
)

// NewResource returns the resource.
func NewResource() resource.Resource { return &Resource{} }

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cloud_account"
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = tfkit.IdentitySchema(noun)
}

// Configure implements resource.ResourceWithConfigure.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.client = tfkit.Configure(req.ProviderData, &resp.Diagnostics)
}

// ImportState implements resource.ResourceWithImportState.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tfkit.ImportByIDOrName(ctx, noun, req, resp, func(ctx context.Context, wanted string) (string, error) {
		account, err := find(ctx, r.client, wanted)
		if err != nil {
			return "", err
		}
		return account.ID, nil
	})
}

// find looks an account up by id, then by name.
func find(ctx context.Context, client *hubapi.Client, wanted string) (*hubapi.CloudAccount, error) {
	if uuid.Validate(wanted) == nil {
		account, err := client.CloudAccount(ctx, wanted)
		if err == nil || !errors.Is(err, hubapi.ErrNotFound) {
			return account, err
		}
	}
	return client.CloudAccountByName(ctx, wanted)
}

// Create implements resource.Resource.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("password_wo"), &plan.PasswordWO)...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	if !requirePassword(&plan, "at create", &resp.Diagnostics) || resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	spec := r.spec(ctx, &plan, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	account, key, err := r.create(ctx, &plan, spec)
	if err != nil {
		appendError(&resp.Diagnostics, "Create", err)
		return
	}
	plan.PasswordWO = nullPassword
	resp.Diagnostics.Append(plan.fromAPI(ctx, account)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(tfkit.SetPrivate(ctx, resp.Private, keyName, key)...)
	tfkit.SetIdentity(ctx, resp.Identity, account.ID, &resp.Diagnostics)
}

// create writes a new account. Where an earlier create got through and its answer was lost, the hub answers with that
// account, whose id the password has to be sealed for.
func (r *Resource) create(
	ctx context.Context, plan *model, spec hubapi.CloudAccountSpec,
) (*hubapi.CloudAccount, gatewayKey, error) {
	id, opts := tfkit.NewID(), hubapi.WriteOptions{Create: true}
	for {
		sealed, used, err := r.client.SealPassword(ctx, id, spec, plan.GatewayKey.ValueString(), plan.PasswordWO.ValueString())
		if err != nil {
			return nil, gatewayKey{}, err
		}
		write := hubapi.CloudAccountWrite{Name: plan.Name.ValueString(), Spec: spec, SealedPassword: sealed}
		account, err := r.client.PutCloudAccount(ctx, id, write, opts)
		if err != nil {
			return nil, gatewayKey{}, err
		}
		if account.ID == id {
			return account, gatewayKey{Gateway: spec.GatewayID, Fingerprint: used}, nil
		}
		tflog.Info(ctx, "taking over the cloud account of an earlier create", map[string]any{"cloud_account_id": account.ID})
		id, opts = account.ID, hubapi.WriteOptions{}
	}
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Also for an account that has gone: a command line that knows no identity fails without one.
	tfkit.SetIdentity(ctx, resp.Identity, state.ID.ValueString(), &resp.Diagnostics)
	account, err := r.client.CloudAccount(ctx, state.ID.ValueString())
	if errors.Is(err, hubapi.ErrNotFound) {
		if !r.refuseOtherHub(ctx, "Read", &state, &resp.Diagnostics) {
			resp.State.RemoveResource(ctx)
		}
		return
	}
	if err != nil {
		appendError(&resp.Diagnostics, "Read", err)
		return
	}
	resp.Diagnostics.Append(state.fromAPI(ctx, account)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("password_wo"), &plan.PasswordWO)...)
	timeout, diags := plan.Timeouts.Update(ctx, defaultTimeout)
	resp.Diagnostics.Append(diags...)
	checkPassword(ctx, &plan, &state, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	spec := r.spec(ctx, &plan, &resp.Diagnostics)
	known, diags := tfkit.GetPrivate[gatewayKey](ctx, req.Private, keyName)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	id := state.ID.ValueString()
	write := hubapi.CloudAccountWrite{Name: plan.Name.ValueString(), Spec: spec}
	if !plan.PasswordWOVersion.Equal(state.PasswordWOVersion) {
		var err error
		if known, err = r.seal(ctx, &plan, &state, known, &write); err != nil {
			appendError(&resp.Diagnostics, "Update", err)
			return
		}
	}
	account, err := r.client.PutCloudAccount(ctx, id, write, hubapi.WriteOptions{})
	if err != nil {
		appendError(&resp.Diagnostics, "Update", err)
		return
	}
	plan.PasswordWO = nullPassword
	resp.Diagnostics.Append(plan.fromAPI(ctx, account)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(tfkit.SetPrivate(ctx, resp.Private, keyName, known)...)
	tfkit.SetIdentity(ctx, resp.Identity, account.ID, &resp.Diagnostics)
}

// seal seals the password for what is written, and, where the account changes its gateway, the word to hand its clusters
// over. It returns the key that was used.
func (r *Resource) seal(
	ctx context.Context, plan, state *model, known gatewayKey, write *hubapi.CloudAccountWrite,
) (gatewayKey, error) {
	id, to, from := state.ID.ValueString(), write.Spec.GatewayID, state.GatewayID.ValueString()
	pinned := plan.GatewayKey.ValueString()
	if pinned == "" {
		pinned = known.fingerprintOf(to)
	}
	sealed, used, err := r.client.SealPassword(ctx, id, write.Spec, pinned, plan.PasswordWO.ValueString())
	if err != nil {
		return known, err
	}
	write.SealedPassword = sealed
	if from != to {
		write.SealedHandover, err = r.client.SealHandover(ctx, id, from, known.fingerprintOf(from), hubapi.Handover{
			Password: plan.PasswordWO.ValueString(), VCenter: write.Spec.VCenter, Username: write.Spec.Username, Trust: write.Spec.Trust,
			Gateway: to, Fingerprint: used,
		})
		// A gateway that is gone hands nothing over; the hub says whether that matters.
		if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
			return known, err
		}
	}
	return gatewayKey{Gateway: to, Fingerprint: used}, nil
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.client.DeleteCloudAccount(ctx, state.ID.ValueString())
	switch {
	case errors.Is(err, hubapi.ErrNotFound):
		r.refuseOtherHub(ctx, "Delete", &state, &resp.Diagnostics)
	case err != nil:
		appendError(&resp.Diagnostics, "Delete", err)
	}
}

// refuseOtherHub is for what is not found.
func (r *Resource) refuseOtherHub(ctx context.Context, verb string, state *model, diags *diag.Diagnostics) bool {
	return tfkit.RefuseOtherHub(ctx, r.client, verb, noun, state.ID.ValueString(), state.GatewayID.ValueString(), diags)
}

// spec is the wire form of the plan with the gateway's real id.
func (r *Resource) spec(ctx context.Context, plan *model, diags *diag.Diagnostics) hubapi.CloudAccountSpec {
	gatewayID := plan.GatewayID.ValueString()
	if gatewayID == "" {
		found, err := tfkit.DefaultGateway(ctx, r.client)
		if err != nil {
			tfkit.AppendGatewayError(diags, err)
			return hubapi.CloudAccountSpec{}
		}
		gatewayID = found
	}
	spec, d := plan.toSpec(ctx, gatewayID)
	diags.Append(d...)
	return spec
}

// appendError adds an error on the attribute at fault: what the wire form has in "trust" lies at the top here.
func appendError(diags *diag.Diagnostics, verb string, err error) {
	tfkit.AppendError(diags, verb, noun, tfkit.MoveField(err, "/trust", ""))
}

// gatewayKey is the key that the password was last sealed to.
type gatewayKey struct {
	Gateway     string `json:"gateway"`
	Fingerprint string `json:"fingerprint"`
}

// fingerprintOf is the fingerprint that a gateway's key must have, or "" for a gateway not sealed to before.
func (k gatewayKey) fingerprintOf(gatewayID string) string {
	if k.Gateway != gatewayID {
		return ""
	}
	return k.Fingerprint
}
