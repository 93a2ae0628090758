package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
)

// applianceModel is the appliance as Terraform has it.
type applianceModel struct {
	VCenter           types.String `tfsdk:"vcenter"`
	Username          types.String `tfsdk:"username"`
	PasswordWO        types.String `tfsdk:"password_wo"`
	PasswordWOVersion types.Int64  `tfsdk:"password_wo_version"`
	CACertificate     types.String `tfsdk:"ca_certificate"`
	Thumbprints       types.List   `tfsdk:"thumbprints"`
	Insecure          types.Bool   `tfsdk:"insecure"`
	Datacenter        types.String `tfsdk:"datacenter"`
	Folder            types.String `tfsdk:"folder"`
	ComputeCluster    types.String `tfsdk:"compute_cluster"`
	ResourcePool      types.String `tfsdk:"resource_pool"`
	Datastore         types.String `tfsdk:"datastore"`
	Network           types.String `tfsdk:"network"`
	Template          types.String `tfsdk:"template"`
	NetworkConfig     types.Object `tfsdk:"network_config"`
	Proxy             types.String `tfsdk:"proxy"`
	CACertificates    types.List   `tfsdk:"ca_certificates"`
	NTPServers        types.List   `tfsdk:"ntp_servers"`
	CPU               types.Int64  `tfsdk:"cpu"`
	MemoryMiB         types.Int64  `tfsdk:"memory_mib"`
	DiskGiB           types.Int64  `tfsdk:"disk_gib"`
	Replicas          types.Int64  `tfsdk:"replicas"`
}

// networkModel is how the VMs' cards are configured.
type networkModel struct {
	Addresses     types.List   `tfsdk:"addresses"`
	Gateway       types.String `tfsdk:"gateway"`
	NameServers   types.List   `tfsdk:"name_servers"`
	SearchDomains types.List   `tfsdk:"search_domains"`
}

// machineModel is one of the VMs.
type machineModel struct {
	Name         types.String `tfsdk:"name"`
	Moid         types.String `tfsdk:"moid"`
	InstanceUUID types.String `tfsdk:"instance_uuid"`
	Host         types.String `tfsdk:"host"`
	Addresses    types.List   `tfsdk:"addresses"`
}

var machineType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"name":          types.StringType,
	"moid":          types.StringType,
	"instance_uuid": types.StringType,
	"host":          types.StringType,
	"addresses":     types.ListType{ElemType: types.StringType},
}}

// appliance returns the appliance of the model; nil is none.
func (m *model) appliance(ctx context.Context) (*applianceModel, diag.Diagnostics) {
	if m.Appliance.IsNull() || m.Appliance.IsUnknown() {
		return nil, nil
	}
	var a applianceModel
	diags := m.Appliance.As(ctx, &a, basetypes.ObjectAsOptions{})
	return &a, diags
}

// boot is what the VMs boot with besides the token.
type boot struct {
	Proxy string   `json:"proxy,omitempty"`
	CAs   []string `json:"cas,omitempty"`
	NTP   []string `json:"ntp,omitempty"`
	Hub   string   `json:"hub"`
	// SHA256 is the program's digest: another program is another VM, so that an upgrade rolls.
	SHA256 string `json:"sha256,omitempty"`
}

// deployment is the appliance as the deployer takes it, for an appliance whose values are known.
func (a *applianceModel) deployment(ctx context.Context, id, name string, b boot) (Deployment, diag.Diagnostics) {
	d := Deployment{
		GatewayID: id, Name: name,
		VCenter: a.VCenter.ValueString(), Username: a.Username.ValueString(), Password: a.PasswordWO.ValueString(),
		CACertificate: a.CACertificate.ValueString(), Insecure: a.Insecure.ValueBool(),
		Datacenter: a.Datacenter.ValueString(), Folder: a.Folder.ValueString(), ComputeCluster: a.ComputeCluster.ValueString(),
		ResourcePool: a.ResourcePool.ValueString(), Datastore: a.Datastore.ValueString(), Network: a.Network.ValueString(),
		Template: a.Template.ValueString(),
		CPU:      int(a.CPU.ValueInt64()), MemoryMiB: int(a.MemoryMiB.ValueInt64()), DiskGiB: int(a.DiskGiB.ValueInt64()),
		Replicas: int(a.Replicas.ValueInt64()),
	}
	diags := a.Thumbprints.ElementsAs(ctx, &d.Thumbprints, false)
	if !a.NetworkConfig.IsNull() {
		var n networkModel
		diags.Append(a.NetworkConfig.As(ctx, &n, basetypes.ObjectAsOptions{})...)
		diags.Append(n.Addresses.ElementsAs(ctx, &d.Addresses, false)...)
		diags.Append(n.NameServers.ElementsAs(ctx, &d.NameServers, false)...)
		diags.Append(n.SearchDomains.ElementsAs(ctx, &d.SearchDomains, false)...)
		d.Gateway = n.Gateway.ValueString()
	}
	text, err := json.Marshal(b)
	if err != nil {
		diags.AddError("Unable to Describe Appliance", err.Error())
	}
	d.Boot = string(text)
	return d, diags
}

// boots returns what the VMs boot with.
func (a *applianceModel) boots(ctx context.Context) (boot, diag.Diagnostics) {
	b := boot{Proxy: a.Proxy.ValueString()}
	diags := a.CACertificates.ElementsAs(ctx, &b.CAs, false)
	diags.Append(a.NTPServers.ElementsAs(ctx, &b.NTP, false)...)
	return b, diags
}

// access is what the sealed password is bound to: it goes to no other vCenter, and to nobody who is not believed.
func (a *applianceModel) access(ctx context.Context, gatewayID string) ([]byte, diag.Diagnostics) {
	var thumbprints []string
	diags := a.Thumbprints.ElementsAs(ctx, &thumbprints, false)
	text, err := json.Marshal([]any{
		"palette/appliance/v1", gatewayID, a.VCenter.ValueString(), a.Username.ValueString(), a.CACertificate.ValueString(), thumbprints,
		a.Insecure.ValueBool(),
	})
	if err != nil {
		diags.AddError("Unable to Describe Appliance", fmt.Sprintf("The access to the vCenter cannot be encoded: %s.", err))
	}
	return text, diags
}

// machinesFromAPI lists the VMs.
func machinesFromAPI(ctx context.Context, machines []DeployedMachine) (types.List, diag.Diagnostics) {
	var diags diag.Diagnostics
	models := make([]machineModel, 0, len(machines))
	for _, m := range machines {
		addresses, d := types.ListValueFrom(ctx, types.StringType, append([]string{}, m.Addresses...))
		diags.Append(d...)
		models = append(models, machineModel{
			Name: types.StringValue(m.Name), Moid: types.StringValue(m.Moid), InstanceUUID: types.StringValue(m.InstanceUUID),
			Host: orNull(m.Host), Addresses: addresses,
		})
	}
	list, d := types.ListValueFrom(ctx, machineType, models)
	diags.Append(d...)
	return list, diags
}
