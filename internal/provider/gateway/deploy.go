package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// password is where the appliance's write-only password is in a configuration.
var password = path.Root("appliance").AtName("password_wo")

// readPassword reads the password of a configuration; "" is none.
func readPassword(ctx context.Context, config tfsdk.Config, m *model) (string, diag.Diagnostics) {
	if m.Appliance.IsNull() {
		return "", nil
	}
	var value types.String
	diags := config.GetAttribute(ctx, password, &value)
	return value.ValueString(), diags
}

// deploy makes the VMs of the appliance what the plan says, and returns the gateway as it is then.
func (r *Resource) deploy(
	ctx context.Context, plan *model, g *hubapi.Gateway, secret, fingerprint string, limit time.Duration, diags *diag.Diagnostics,
) *hubapi.Gateway {
	a, d := plan.appliance(ctx)
	diags.Append(d...)
	if a == nil || diags.HasError() {
		return g
	}
	a.PasswordWO = types.StringValue(secret)
	access, d := a.access(ctx, g.ID)
	diags.Append(d...)
	b, d := a.boots(ctx)
	diags.Append(d...)
	ttl, err := time.ParseDuration(plan.PairingTTL.ValueString())
	if err != nil {
		diags.AddAttributeError(path.Root("pairing_ttl"), "Invalid Duration", err.Error())
	}
	if diags.HasError() {
		return g
	}
	hub := newReplicas(r.client, g, fingerprint)
	hub.ttl, hub.wait, hub.boot, hub.introduction = ttl, limit, b, introductionOf(plan.PairingToken)
	if hub.introduction == nil {
		hub.introduction = hubapi.NewSecret() // one for all VMs of this apply
	}
	hub.install = installOptions(ctx, r.client, g.Name, "")
	hub.boot.Hub, hub.boot.SHA256 = hub.install.Hub, hub.install.SHA256
	deployment, d := a.deployment(ctx, g.ID, g.Name, hub.boot)
	diags.Append(d...)
	if diags.HasError() {
		return g
	}
	// What can destroy the VMs is kept before there are any.
	kept, err := keepPassword(ctx, r.client, g.ID, access, secret)
	if err != nil {
		tfkit.AppendError(diags, "Deploy", "Appliance", err)
		return g
	}
	before := plan.Access
	plan.Access = types.StringValue(kept)
	machines, err := r.deployer.Apply(ctx, deployment, hub)
	if err != nil {
		if _, nothing := errors.AsType[*NothingMadeError](err); nothing {
			plan.Access = before
		}
		tfkit.AppendError(diags, "Deploy", "Appliance", tfkit.MoveField(err, "/gateway_id", ""))
	} else {
		plan.Machines, d = machinesFromAPI(ctx, machines)
		diags.Append(d...)
	}
	now, err := r.client.Gateway(context.WithoutCancel(ctx), g.ID)
	if err != nil {
		tfkit.AppendError(diags, "Read", noun, err)
		return g
	}
	return now
}

// undeploy destroys the VMs of an appliance that is no longer wanted.
func (r *Resource) undeploy(ctx context.Context, state *model, diags *diag.Diagnostics) {
	a, d := state.appliance(ctx)
	diags.Append(d...)
	if a == nil || diags.HasError() {
		return
	}
	id := state.ID.ValueString()
	access, d := a.access(ctx, id)
	diags.Append(d...)
	secret, err := openPassword(ctx, r.client, id, access, state.Access.ValueString())
	if err != nil {
		diags.AddError("Unable to Destroy Appliance", "The password of the vCenter, which is needed to destroy the gateway's VMs, is not at "+
			"hand: "+err.Error()+".\n\nRaise password_wo_version in the appliance block and apply, so that it is kept again; or "+
			"destroy the VMs in the vCenter and take the gateway out of the state with terraform state rm.")
		return
	}
	a.PasswordWO = types.StringValue(secret)
	deployment, d := a.deployment(ctx, id, state.Name.ValueString(), boot{})
	diags.Append(d...)
	if diags.HasError() {
		return
	}
	say := func(ctx context.Context, message string) {
		tflog.Info(ctx, "appliance progress", map[string]any{"gateway_id": id, "event": message})
	}
	if err := r.deployer.Destroy(ctx, deployment, say); err != nil {
		tfkit.AppendError(diags, "Destroy", "Appliance", err)
		return
	}
	r.forget(ctx, id, state.machineNames(ctx), diags)
}

// forget revokes the replicas of VMs that are gone.
func (r *Resource) forget(ctx context.Context, id string, names []string, diags *diag.Diagnostics) {
	if len(names) == 0 {
		return
	}
	g, err := r.client.Gateway(ctx, id)
	if errors.Is(err, hubapi.ErrNotFound) {
		return
	}
	if err != nil {
		tfkit.AppendError(diags, "Read", noun, err)
		return
	}
	hub := newReplicas(r.client, g, "")
	for _, name := range names {
		if err := hub.Forget(ctx, name); err != nil {
			tfkit.AppendError(diags, "Revoke", "Replica", err)
		}
	}
}

// machineNames are the names of the appliance's VMs.
func (m *model) machineNames(ctx context.Context) []string {
	var machines []machineModel
	if m.Machines.IsNull() || m.Machines.IsUnknown() || m.Machines.ElementsAs(ctx, &machines, false).HasError() {
		return nil
	}
	names := make([]string, 0, len(machines))
	for _, machine := range machines {
		names = append(names, machine.Name.ValueString())
	}
	return names
}

// programName is where the digest of the program that the appliance runs is kept in private state.
const programName = "appliance_program"

// outdated tells whether the hub serves another program than the appliance runs. A hub that does not say is believed to
// serve the same.
func (r *Resource) outdated(ctx context.Context, private tfkit.PrivateReader, diags *diag.Diagnostics) bool {
	runs, d := tfkit.GetPrivate[string](ctx, private, programName)
	diags.Append(d...)
	if runs == "" || r.client == nil {
		return false
	}
	served, err := r.client.Downloads(ctx)
	return err == nil && served.Gateway.SHA256 != runs
}

// keepProgram remembers which program the appliance runs.
func (r *Resource) keepProgram(ctx context.Context, private tfkit.PrivateWriter, diags *diag.Diagnostics) {
	served, err := r.client.Downloads(ctx)
	if err != nil || diags.HasError() {
		return
	}
	diags.Append(tfkit.SetPrivate(ctx, private, programName, served.Gateway.SHA256)...)
}

// lost tells whether a VM's replica is not connected.
func (m *model) lost(ctx context.Context) bool {
	var known []replicaModel
	if m.Replicas.ElementsAs(ctx, &known, false).HasError() {
		return false
	}
	online := map[string]bool{}
	for _, replica := range known {
		online[replica.Name.ValueString()] = online[replica.Name.ValueString()] || !replica.ConnectedSince.IsNull()
	}
	for _, name := range m.machineNames(ctx) {
		if !online[name] {
			return true
		}
	}
	return false
}

// redeploy brings the VMs from what the state has to what is wanted. The plan has the appliance that is wanted when it is
// done.
func (r *Resource) redeploy(
	ctx context.Context, plan, state *model, wanted types.Object, g *hubapi.Gateway, secret, fingerprint string,
	limit time.Duration, diags *diag.Diagnostics,
) *hubapi.Gateway {
	if wanted.IsNull() {
		if r.undeploy(ctx, state, diags); !diags.HasError() {
			plan.Appliance, plan.Machines, plan.Access = wanted, types.ListValueMust(machineType, nil), types.StringNull()
		}
		return r.again(ctx, g)
	}
	next := *plan
	next.Appliance = wanted
	if secret == "" {
		secret = r.keptPassword(ctx, &next, state.Access.ValueString(), diags)
	}
	if diags.HasError() {
		return g
	}
	g = r.deploy(ctx, &next, g, secret, fingerprint, limit, diags)
	if diags.HasError() && state.Appliance.IsNull() && !next.Access.IsUnknown() {
		// VMs may have been made, and have to be destroyed when nobody wants them any more.
		plan.Appliance, plan.Access = wanted, next.Access
	}
	if diags.HasError() {
		return g
	}
	plan.Appliance, plan.Machines, plan.Access = wanted, next.Machines, next.Access
	stand := next.machineNames(ctx)
	r.forget(ctx, g.ID, slices.DeleteFunc(state.machineNames(ctx), func(name string) bool { return slices.Contains(stand, name) }), diags)
	g = r.again(ctx, g)
	return g
}

// keptPassword is the password of an apply that has none in its configuration.
func (r *Resource) keptPassword(ctx context.Context, m *model, kept string, diags *diag.Diagnostics) string {
	a, d := m.appliance(ctx)
	diags.Append(d...)
	if a == nil || diags.HasError() {
		return ""
	}
	access, d := a.access(ctx, m.ID.ValueString())
	diags.Append(d...)
	secret, err := openPassword(ctx, r.client, m.ID.ValueString(), access, kept)
	if err != nil {
		diags.AddAttributeError(password, "Missing Password", "password_wo is needed: "+err.Error()+".")
	}
	return secret
}

// again reads the gateway once more, and keeps what is known where that fails.
func (r *Resource) again(ctx context.Context, g *hubapi.Gateway) *hubapi.Gateway {
	now, err := r.client.Gateway(ctx, g.ID)
	if err != nil {
		return g
	}
	return now
}

// refuseInUse asks the hub whether the gateway could be deleted, before its VMs are destroyed.
func (r *Resource) refuseInUse(ctx context.Context, state *model, diags *diag.Diagnostics) {
	err := r.client.MayDeleteGateway(ctx, state.ID.ValueString())
	if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
		tfkit.AppendError(diags, "Delete", noun, err)
	}
}
