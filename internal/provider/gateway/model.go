package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// seen is what the hub says of a gateway, for the resource and the data source alike.
type seen struct {
	ID             types.String `tfsdk:"id"`
	Name           types.String `tfsdk:"name"`
	Labels         types.Map    `tfsdk:"labels"`
	Status         types.String `tfsdk:"status"`
	Version        types.String `tfsdk:"version"`
	Replicas       types.List   `tfsdk:"replicas"`
	PublicKey      types.String `tfsdk:"public_key"`
	KeyFingerprint types.String `tfsdk:"key_fingerprint"`
}

// model is the resource as Terraform has it.
type model struct {
	seen
	RecoveryKey          types.String   `tfsdk:"recovery_key"`
	WaitForConnection    types.Bool     `tfsdk:"wait_for_connection"`
	PairingTrigger       types.String   `tfsdk:"pairing_trigger"`
	PairingTTL           types.String   `tfsdk:"pairing_ttl"`
	AcceptKeyFingerprint types.String   `tfsdk:"accept_key_fingerprint"`
	PairingToken         types.String   `tfsdk:"pairing_token"`
	PairingExpiresAt     types.String   `tfsdk:"pairing_expires_at"`
	Install              types.Object   `tfsdk:"install"`
	Appliance            types.Object   `tfsdk:"appliance"`
	Machines             types.List     `tfsdk:"machines"`
	Access               types.String   `tfsdk:"appliance_access"`
	Timeouts             timeouts.Value `tfsdk:"timeouts"`
}

// replicaModel is one process that was paired as the gateway.
type replicaModel struct {
	Name           types.String `tfsdk:"name"`
	Version        types.String `tfsdk:"version"`
	ConnectedSince types.String `tfsdk:"connected_since"`
	Holder         types.Bool   `tfsdk:"holder"`
}

var replicaType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"name":            types.StringType,
	"version":         types.StringType,
	"connected_since": types.StringType,
	"holder":          types.BoolType,
}}

// toWrite is the wire form of a model whose values are known.
func (m *model) toWrite(ctx context.Context) (hubapi.GatewayWrite, diag.Diagnostics) {
	write := hubapi.GatewayWrite{
		Name: m.Name.ValueString(), Spec: hubapi.GatewaySpec{RecoveryKey: m.RecoveryKey.ValueString()},
	}
	return write, m.Labels.ElementsAs(ctx, &write.Spec.Labels, false)
}

// fromAPI takes over what the hub says of the gateway, and the key only where it is told to: a key is believed once, not
// whenever it changes.
func (m *model) fromAPI(ctx context.Context, g *hubapi.Gateway, believeKey bool) diag.Diagnostics {
	key, fingerprint := m.PublicKey, m.KeyFingerprint
	diags := m.seen.fromAPI(ctx, g)
	m.RecoveryKey = orNull(g.Spec.RecoveryKey)
	if !believeKey {
		m.PublicKey, m.KeyFingerprint = key, fingerprint
	}
	return diags
}

func (m *seen) fromAPI(ctx context.Context, g *hubapi.Gateway) diag.Diagnostics {
	m.ID = types.StringValue(g.ID)
	m.Name = types.StringValue(g.Name)
	var diags, d diag.Diagnostics
	switch {
	case len(g.Spec.Labels) > 0:
		m.Labels, diags = types.MapValueFrom(ctx, types.StringType, g.Spec.Labels)
	case m.Labels.IsNull() || m.Labels.IsUnknown() || len(m.Labels.Elements()) > 0:
		m.Labels = types.MapNull(types.StringType)
	}
	m.Status = types.StringValue(string(g.Status.State))
	m.Version = orNull(g.Status.Version)
	m.Replicas, d = replicasFromAPI(ctx, g.Status.Replicas)
	diags.Append(d...)
	m.PublicKey = orNull(g.Status.PublicKey)
	m.KeyFingerprint = orNull(g.KeyFingerprint())
	return diags
}

// replicasFromAPI lists the replicas that may connect, by name.
func replicasFromAPI(ctx context.Context, replicas []hubapi.GatewayReplica) (types.List, diag.Diagnostics) {
	replicas = slices.DeleteFunc(slices.Clone(replicas), func(r hubapi.GatewayReplica) bool { return r.RevokedAt != nil })
	slices.SortFunc(replicas, func(a, b hubapi.GatewayReplica) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	models := make([]replicaModel, 0, len(replicas))
	for _, r := range replicas {
		m := replicaModel{
			Name: types.StringValue(r.Name), Version: orNull(r.Version), ConnectedSince: types.StringNull(),
			Holder: types.BoolValue(r.Holder),
		}
		if r.ConnectedSince != nil {
			m.ConnectedSince = types.StringValue(r.ConnectedSince.UTC().Format(time.RFC3339))
		}
		models = append(models, m)
	}
	return types.ListValueFrom(ctx, replicaType, models)
}

// takePairing shows a token that was just made.
func (m *model) takePairing(token hubapi.PairingToken, pairing *hubapi.Pairing) {
	m.PairingToken = types.StringValue(token.String())
	m.PairingExpiresAt = types.StringValue(pairing.ExpiresAt.UTC().Format(time.RFC3339))
}

// noPairing is the state of a gateway for which Terraform has made no token.
func (m *model) noPairing() {
	m.PairingToken, m.PairingExpiresAt = types.StringNull(), types.StringNull()
	m.Install = types.ObjectNull(installTypes)
}

func orNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

// imported fills in what only Terraform knows, in a state that an import began.
func (m *model) imported() {
	if m.WaitForConnection.IsNull() {
		m.WaitForConnection = types.BoolValue(false)
	}
	if m.Machines.IsNull() {
		m.Machines = types.ListValueMust(machineType, nil)
	}
	if m.PairingTTL.IsNull() {
		m.PairingTTL = types.StringValue(defaultTTL)
	}
}

// known replaces what a plan left open and the hub does not say by what it was.
func (m *model) known(state *model) {
	for value, was := range map[*types.String]types.String{
		&m.PublicKey: state.PublicKey, &m.KeyFingerprint: state.KeyFingerprint,
		&m.Access: state.Access, &m.PairingToken: state.PairingToken, &m.PairingExpiresAt: state.PairingExpiresAt,
	} {
		if value.IsUnknown() {
			*value = was
		}
	}
	if m.Machines.IsUnknown() {
		m.Machines = state.Machines
	}
	if m.Install.IsUnknown() {
		m.Install = state.Install
	}
}
