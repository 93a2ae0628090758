// Package gateway owns the resource palette_gateway, the data sources palette_gateway and palette_gateways, and the
// ephemeral resource palette_gateway_pairing_token: a private cloud gateway, and how a process becomes it.
package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const noun = "Gateway"

// Resource is palette_gateway.
type Resource struct {
	client   *hubapi.Client
	deployer Deployer
}

var (
	_ resource.Resource                   = (*Resource)(nil)
	_ resource.ResourceWithConfigure      = (*Resource)(nil)
	_ resource.ResourceWithImportState    = (*Resource)(nil)
	_ resource.ResourceWithIdentity       = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan     = (*Resource)(nil)
	_ resource.ResourceWithValidateConfig = (*Resource)(nil)
)

// NewResource returns what makes the resource. The deployer may be nil where there are no appliances.
func NewResource(deployer Deployer) func() resource.Resource {
	return func() resource.Resource { return &Resource{deployer: deployer} }
}

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_gateway"
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
		gateway, err := find(ctx, r.client, wanted)
		if err != nil {
			return "", err
		}
		return gateway.ID, nil
	})
}

// find looks a gateway up by id, then by name.
func find(ctx context.Context, client *hubapi.Client, wanted string) (*hubapi.Gateway, error) {
	if uuid.Validate(wanted) == nil {
		gateway, err := client.Gateway(ctx, wanted)
		if err == nil || !errors.Is(err, hubapi.ErrNotFound) {
			return gateway, err
		}
	}
	return client.GatewayByName(ctx, wanted)
}

// Create implements resource.Resource. What was made is in the state before anything is waited for.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultWait)
	resp.Diagnostics.Append(diags...)
	write, diags := plan.toWrite(ctx)
	resp.Diagnostics.Append(diags...)
	secret, diags := readPassword(ctx, req.Config, &plan)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	gateway, err := r.client.PutGateway(ctx, tfkit.NewID(), write, hubapi.WriteOptions{Create: true})
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Create", noun, err)
		return
	}
	tfkit.SetIdentity(ctx, resp.Identity, gateway.ID, &resp.Diagnostics)
	var memory keyMemory
	keep := func() {
		accepted := plan.AcceptKeyFingerprint.ValueString()
		believed := memory.look(gateway, accepted, plan.PairingToken)
		memory.refuse(gateway.Name, accepted, &resp.Diagnostics)
		resp.Diagnostics.Append(plan.fromAPI(ctx, gateway, believed)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(tfkit.SetPrivate(ctx, resp.Private, keyName, memory)...)
	}
	plan.noPairing()
	plan.Machines, plan.Access = types.ListValueMust(machineType, nil), types.StringNull()
	keep()
	if !r.pair(ctx, &plan, gateway.ID, memory.Trusted, "Create", &resp.Diagnostics) {
		return
	}
	keep()
	if resp.Diagnostics.HasError() {
		return
	}
	if !plan.Appliance.IsNull() {
		gateway = r.deploy(ctx, &plan, gateway, secret, memory.Trusted, timeout, &resp.Diagnostics)
		if plan.Access.IsNull() {
			plan.Appliance = types.ObjectNull(plan.Appliance.AttributeTypes(ctx)) // nothing was made, and nothing has to be destroyed
		}
		keep()
		r.keepProgram(ctx, resp.Private, &resp.Diagnostics)
	}
	if !plan.WaitForConnection.ValueBool() || resp.Diagnostics.HasError() {
		return
	}
	gateway, err = r.wait(ctx, gateway, timeout)
	keep()
	switch {
	case stopped(err):
		// An error would mark the gateway as tainted: the next apply would destroy what is just being paired.
		resp.Diagnostics.AddWarning("Gateway Is Not Online Yet", whyStopped(err)+"\n\n"+standing(gateway)+
			"\n\nThe gateway and its token are kept. The next apply goes on waiting.")
	case err != nil:
		tfkit.AppendError(&resp.Diagnostics, "Create", noun, err)
	}
}

// pair makes a pairing token and puts it into the model. It has the introduction of the one before, if there was one: the
// gateway's replicas share their key with nobody else.
func (r *Resource) pair(ctx context.Context, m *model, id, fingerprint, verb string, diags *diag.Diagnostics) bool {
	ttl, err := time.ParseDuration(m.PairingTTL.ValueString())
	if err != nil {
		diags.AddError("Unable to "+verb+" "+noun, err.Error())
		return false
	}
	token, pairing, err := r.client.Pair(ctx, id, hubapi.PairOptions{
		TTL: ttl, Fingerprint: fingerprint, Introduction: introductionOf(m.PairingToken), Kept: true,
	})
	if err != nil {
		tfkit.AppendError(diags, verb, noun, tfkit.MoveField(tfkit.MoveField(err, "/ttl_seconds", "/pairing_ttl"), "/gateway_id", ""))
		return false
	}
	m.takePairing(token, pairing)
	var d diag.Diagnostics
	m.Install, d = installTexts(ctx, installOptions(ctx, r.client, m.Name.ValueString(), token.String()))
	diags.Append(d...)
	tflog.Info(ctx, "made a pairing token", map[string]any{
		"gateway_id": id, "pairing_id": token.ID, "expires_at": m.PairingExpiresAt.ValueString(),
	})
	return true
}

func (r *Resource) wait(ctx context.Context, g *hubapi.Gateway, limit time.Duration) (*hubapi.Gateway, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tflog.Info(ctx, "waiting for the gateway to connect", map[string]any{"gateway_id": g.ID, "limit": limit.String()})
	return waitOnline(ctx, r.client, g)
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	memory, diags := tfkit.GetPrivate[keyMemory](ctx, req.Private, keyName)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Also for a gateway that has gone: a command line that knows no identity fails without one.
	tfkit.SetIdentity(ctx, resp.Identity, state.ID.ValueString(), &resp.Diagnostics)
	gateway, err := r.client.Gateway(ctx, state.ID.ValueString())
	if errors.Is(err, hubapi.ErrNotFound) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	believed := memory.look(gateway, state.AcceptKeyFingerprint.ValueString(), state.PairingToken)
	resp.Diagnostics.Append(state.fromAPI(ctx, gateway, believed)...)
	state.imported()
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	resp.Diagnostics.Append(tfkit.SetPrivate(ctx, resp.Private, keyName, memory)...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, diags := plan.Timeouts.Update(ctx, defaultWait)
	resp.Diagnostics.Append(diags...)
	memory, diags := tfkit.GetPrivate[keyMemory](ctx, req.Private, keyName)
	resp.Diagnostics.Append(diags...)
	write, diags := plan.toWrite(ctx)
	resp.Diagnostics.Append(diags...)
	secret, diags := readPassword(ctx, req.Config, &plan)
	resp.Diagnostics.Append(diags...)
	deploys := plan.Machines.IsUnknown()
	tfkit.SetIdentity(ctx, resp.Identity, state.ID.ValueString(), &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	gateway, err := r.client.PutGateway(ctx, state.ID.ValueString(), write, hubapi.WriteOptions{})
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Update", noun, err)
		return
	}
	accepted := plan.AcceptKeyFingerprint.ValueString()
	keep := func() {
		believed := memory.look(gateway, accepted, state.PairingToken)
		memory.refuse(gateway.Name, accepted, &resp.Diagnostics)
		resp.Diagnostics.Append(plan.fromAPI(ctx, gateway, believed)...)
		plan.known(&state)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(tfkit.SetPrivate(ctx, resp.Private, keyName, memory)...)
	}
	renew := plan.renews(&state)
	trigger := plan.PairingTrigger
	if renew {
		// A token that cannot be made leaves the trigger as it was, so that the next apply makes it.
		plan.PairingTrigger, plan.PairingToken, plan.PairingExpiresAt = state.PairingTrigger, state.PairingToken, state.PairingExpiresAt
		plan.Install = state.Install
	}
	if keep(); resp.Diagnostics.HasError() {
		return
	}
	if renew {
		if !r.pair(ctx, &plan, gateway.ID, memory.Trusted, "Update", &resp.Diagnostics) {
			return
		}
		plan.PairingTrigger = trigger
		keep()
	}
	if deploys {
		wanted := plan.Appliance
		// What fails leaves the appliance as it was, so that the next apply does the rest.
		plan.Appliance = state.Appliance
		gateway = r.redeploy(ctx, &plan, &state, wanted, gateway, secret, memory.Trusted, timeout, &resp.Diagnostics)
		keep()
		if r.keepProgram(ctx, resp.Private, &resp.Diagnostics); resp.Diagnostics.HasError() {
			return
		}
	}
	if plan.WaitForConnection.ValueBool() {
		gateway, err = r.wait(ctx, gateway, timeout)
		keep()
		appendWaitError(&resp.Diagnostics, gateway, err)
	}
}

// appendWaitError says of an update that waited in vain what stands.
func appendWaitError(diags *diag.Diagnostics, g *hubapi.Gateway, err error) {
	if stopped(err) {
		diags.AddError("Unable to Update "+noun, whyStopped(err)+"\n\n"+standing(g)+
			"\n\nEverything else is done. Apply again to go on waiting.")
		return
	}
	tfkit.AppendError(diags, "Update", noun, err)
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !state.Appliance.IsNull() {
		if r.refuseInUse(ctx, &state, &resp.Diagnostics); resp.Diagnostics.HasError() {
			return
		}
		if r.undeploy(ctx, &state, &resp.Diagnostics); resp.Diagnostics.HasError() {
			return
		}
	}
	err := r.client.DeleteGateway(ctx, state.ID.ValueString())
	if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
		tfkit.AppendError(&resp.Diagnostics, "Delete", noun, err)
	}
}
