package ippool

import (
	"context"
	"net/netip"

	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework-nettypes/iptypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// model is the resource as Terraform has it.
type model struct {
	ID              types.String       `tfsdk:"id"`
	Name            types.String       `tfsdk:"name"`
	GatewayID       types.String       `tfsdk:"gateway_id"`
	Ranges          types.List         `tfsdk:"ranges"`
	Subnet          cidrtypes.IPPrefix `tfsdk:"subnet"`
	Excluded        types.List         `tfsdk:"excluded"`
	Prefix          types.Int64        `tfsdk:"prefix"`
	Gateway         iptypes.IPAddress  `tfsdk:"gateway"`
	NameServers     types.List         `tfsdk:"name_servers"`
	SearchDomains   types.List         `tfsdk:"search_domains"`
	CooldownSeconds types.Int64        `tfsdk:"cooldown_seconds"`
	Total           types.Int64        `tfsdk:"total"`
	Used            types.Int64        `tfsdk:"used"`
	Free            types.Int64        `tfsdk:"free"`
}

// rangeModel is one inclusive range of addresses.
type rangeModel struct {
	Start iptypes.IPAddress `tfsdk:"start"`
	End   iptypes.IPAddress `tfsdk:"end"`
}

var (
	addressType = iptypes.IPAddressType{}
	rangeType   = types.ObjectType{AttrTypes: map[string]attr.Type{"start": addressType, "end": addressType}}
)

// toWrite is the wire form of a model whose values are known; the gateway's id is given as the hub knows it.
func (m *model) toWrite(ctx context.Context, gatewayID string) (hubapi.IPPoolWrite, diag.Diagnostics) {
	prefix := m.Prefix
	if prefix.IsNull() || prefix.IsUnknown() {
		prefix = prefixOf(m.Subnet)
	}
	write := hubapi.IPPoolWrite{
		Name: m.Name.ValueString(),
		Spec: hubapi.IPPoolSpec{
			GatewayID:       gatewayID,
			Subnet:          m.Subnet.ValueString(),
			Prefix:          int(prefix.ValueInt64()),
			Gateway:         m.Gateway.ValueString(),
			CooldownSeconds: int(m.CooldownSeconds.ValueInt64()),
		},
	}
	var ranges []rangeModel
	diags := m.Ranges.ElementsAs(ctx, &ranges, false)
	for _, r := range ranges {
		write.Spec.Ranges = append(write.Spec.Ranges, hubapi.IPRange{Start: r.Start.ValueString(), End: r.End.ValueString()})
	}
	diags.Append(m.Excluded.ElementsAs(ctx, &write.Spec.Excluded, false)...)
	diags.Append(m.NameServers.ElementsAs(ctx, &write.Spec.NameServers, false)...)
	diags.Append(m.SearchDomains.ElementsAs(ctx, &write.Spec.SearchDomains, false)...)
	return write, diags
}

// fromAPI takes over what the hub says. Lists that are empty at the hub are kept as written, null or empty.
func (m *model) fromAPI(ctx context.Context, pool *hubapi.IPPool) diag.Diagnostics {
	var diags diag.Diagnostics
	list := func(old types.List, of attr.Type, empty bool, values any) types.List {
		if empty {
			if old.IsNull() || old.IsUnknown() || len(old.Elements()) > 0 {
				return types.ListNull(of)
			}
			return old
		}
		value, d := types.ListValueFrom(ctx, of, values)
		diags.Append(d...)
		return value
	}
	spec := pool.Spec
	m.ID = types.StringValue(pool.ID)
	m.Name = types.StringValue(pool.Name)
	m.GatewayID = types.StringValue(spec.GatewayID)
	ranges := make([]rangeModel, 0, len(spec.Ranges))
	for _, r := range spec.Ranges {
		ranges = append(ranges, rangeModel{Start: iptypes.NewIPAddressValue(r.Start), End: iptypes.NewIPAddressValue(r.End)})
	}
	m.Ranges = list(m.Ranges, rangeType, len(ranges) == 0, ranges)
	m.Subnet = cidrtypes.NewIPPrefixNull()
	if spec.Subnet != "" {
		m.Subnet = cidrtypes.NewIPPrefixValue(spec.Subnet)
	}
	m.Excluded = list(m.Excluded, types.StringType, len(spec.Excluded) == 0, spec.Excluded)
	m.Prefix = types.Int64Value(int64(spec.Prefix))
	m.Gateway = iptypes.NewIPAddressNull()
	if spec.Gateway != "" {
		m.Gateway = iptypes.NewIPAddressValue(spec.Gateway)
	}
	m.NameServers = list(m.NameServers, addressType, len(spec.NameServers) == 0, spec.NameServers)
	m.SearchDomains = list(m.SearchDomains, types.StringType, len(spec.SearchDomains) == 0, spec.SearchDomains)
	m.CooldownSeconds = types.Int64Value(int64(spec.CooldownSeconds))
	m.Total = types.Int64Value(int64(pool.Status.Total))
	m.Used = types.Int64Value(int64(pool.Status.Used))
	m.Free = types.Int64Value(int64(pool.Status.Free))
	return diags
}

// known tells whether everything that the hub needs for a preview is known; the gateway may be the default one.
func (m *model) known() bool {
	for _, v := range []attr.Value{
		m.Name, m.Ranges, m.Subnet, m.Excluded, m.Prefix, m.Gateway, m.NameServers, m.SearchDomains, m.CooldownSeconds,
	} {
		if v.IsUnknown() {
			return false
		}
	}
	for _, list := range []types.List{m.Excluded, m.NameServers, m.SearchDomains} {
		for _, e := range list.Elements() {
			if e.IsUnknown() {
				return false
			}
		}
	}
	for _, e := range m.Ranges.Elements() {
		r, ok := e.(types.Object)
		if !ok || r.IsUnknown() || r.Attributes()["start"].IsUnknown() || r.Attributes()["end"].IsUnknown() {
			return false
		}
	}
	return true
}

// sameWishes tells whether two models ask the same of the hub, whatever was computed.
func (m *model) sameWishes(other *model) bool {
	return m.Name.Equal(other.Name) && m.GatewayID.Equal(other.GatewayID) && m.Ranges.Equal(other.Ranges) &&
		m.Subnet.Equal(other.Subnet) && m.Excluded.Equal(other.Excluded) && m.Prefix.Equal(other.Prefix) &&
		m.Gateway.Equal(other.Gateway) && m.NameServers.Equal(other.NameServers) &&
		m.SearchDomains.Equal(other.SearchDomains) && m.CooldownSeconds.Equal(other.CooldownSeconds)
}

// prefixOf is the length of a subnet, or null where there is none that can be read.
func prefixOf(subnet cidrtypes.IPPrefix) types.Int64 {
	prefix, err := netip.ParsePrefix(subnet.ValueString())
	if err != nil {
		return types.Int64Null()
	}
	return types.Int64Value(int64(prefix.Bits()))
}
