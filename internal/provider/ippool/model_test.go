package ippool

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework-nettypes/iptypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func list(of attr.Type, values ...attr.Value) types.List { return types.ListValueMust(of, values) }

func addresses(values ...string) types.List {
	elements := make([]attr.Value, 0, len(values))
	for _, v := range values {
		elements = append(elements, iptypes.NewIPAddressValue(v))
	}
	return list(addressType, elements...)
}

func between(start, end attr.Value) attr.Value {
	return types.ObjectValueMust(rangeType.AttrTypes, map[string]attr.Value{"start": start, "end": end})
}

// written is a pool with a subnet as a person writes it.
func written(change func(*model)) model {
	m := model{
		ID:              types.StringValue("id"),
		Name:            types.StringValue("nodes"),
		GatewayID:       types.StringValue("gw"),
		Ranges:          types.ListNull(rangeType),
		Subnet:          cidrtypes.NewIPPrefixValue("10.0.0.0/24"),
		Excluded:        types.ListNull(types.StringType),
		Prefix:          types.Int64Value(24),
		Gateway:         iptypes.NewIPAddressNull(),
		NameServers:     types.ListNull(addressType),
		SearchDomains:   types.ListNull(types.StringType),
		CooldownSeconds: types.Int64Value(300),
		Total:           types.Int64Value(253),
		Used:            types.Int64Value(3),
		Free:            types.Int64Value(249),
	}
	if change != nil {
		change(&m)
	}
	return m
}

// TestModel checks both ways: what is written becomes the wire form, and the wire form read back is what was written, so
// that no plan follows.
func TestModel(t *testing.T) {
	base := hubapi.IPPoolSpec{GatewayID: "gw", Subnet: "10.0.0.0/24", Prefix: 24, CooldownSeconds: 300}
	with := func(change func(*hubapi.IPPoolSpec)) hubapi.IPPoolSpec {
		spec := base
		change(&spec)
		return spec
	}
	cases := map[string]struct {
		reason string
		model  model
		want   hubapi.IPPoolSpec
	}{
		"Subnet": {reason: "Null stays null.", model: written(nil), want: base},
		"Ranges": {
			reason: "Ranges in the order in which they are written.",
			model: written(func(m *model) {
				m.Subnet = cidrtypes.NewIPPrefixNull()
				m.Ranges = list(rangeType,
					between(iptypes.NewIPAddressValue("10.0.0.50"), iptypes.NewIPAddressValue("10.0.0.60")),
					between(iptypes.NewIPAddressValue("10.0.0.10"), iptypes.NewIPAddressValue("10.0.0.20")))
			}),
			want: with(func(s *hubapi.IPPoolSpec) {
				s.Subnet = ""
				s.Ranges = []hubapi.IPRange{{Start: "10.0.0.50", End: "10.0.0.60"}, {Start: "10.0.0.10", End: "10.0.0.20"}}
			}),
		},
		"Everything": {
			reason: "Every attribute is sent and read.",
			model: written(func(m *model) {
				m.Gateway, m.NameServers = iptypes.NewIPAddressValue("10.0.0.1"), addresses("10.0.0.2", "10.0.0.3")
				m.Excluded = list(types.StringType, types.StringValue("10.0.0.4-10.0.0.9"))
				m.SearchDomains = list(types.StringType, types.StringValue("example.com"))
				m.CooldownSeconds = types.Int64Value(0)
			}),
			want: with(func(s *hubapi.IPPoolSpec) {
				s.Gateway, s.NameServers = "10.0.0.1", []string{"10.0.0.2", "10.0.0.3"}
				s.Excluded, s.SearchDomains, s.CooldownSeconds = []string{"10.0.0.4-10.0.0.9"}, []string{"example.com"}, 0
			}),
		},
		"Empty": {
			reason: "An empty list stays an empty list.",
			model: written(func(m *model) {
				m.Excluded, m.NameServers, m.SearchDomains = list(types.StringType), addresses(), list(types.StringType)
			}),
			want: with(func(s *hubapi.IPPoolSpec) {
				s.Excluded, s.NameServers, s.SearchDomains = []string{}, []string{}, []string{}
			}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			write, diags := tc.model.toWrite(t.Context(), "gw")
			if diags.HasError() {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(hubapi.IPPoolWrite{Name: "nodes", Spec: tc.want}, write); diff != "" {
				t.Errorf("%s\ntoWrite(...): -want, +got:\n%s", tc.reason, diff)
			}
			got := tc.model
			diags = got.fromAPI(t.Context(), &hubapi.IPPool{
				Meta: hubapi.Meta{ID: "id", Name: "nodes"}, Spec: write.Spec,
				Status: hubapi.IPPoolStatus{Total: 253, Used: 3, Free: 249},
			})
			if diags.HasError() {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(tc.model, got); diff != "" {
				t.Errorf("%s\nfromAPI(toWrite(...)): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestLatePrefix checks a pool whose subnet became known at apply only, so that its prefix could not be planned.
func TestLatePrefix(t *testing.T) {
	m := written(func(m *model) { m.Prefix = types.Int64Unknown() })
	write, diags := m.toWrite(t.Context(), "gw")
	if diags.HasError() {
		t.Fatal(diags)
	}
	if write.Spec.Prefix != 24 {
		t.Errorf("want the subnet's prefix, got %d", write.Spec.Prefix)
	}
}

// TestDrift checks that what the hub no longer has is taken out.
func TestDrift(t *testing.T) {
	got := written(func(m *model) {
		m.Gateway, m.NameServers = iptypes.NewIPAddressValue("10.0.0.1"), addresses("10.0.0.2")
		m.Excluded = list(types.StringType, types.StringValue("10.0.0.4"))
	})
	diags := got.fromAPI(t.Context(), &hubapi.IPPool{
		Meta:   hubapi.Meta{ID: "id", Name: "nodes"},
		Spec:   hubapi.IPPoolSpec{GatewayID: "gw", Subnet: "10.0.0.0/24", Prefix: 24, CooldownSeconds: 300},
		Status: hubapi.IPPoolStatus{Total: 253, Used: 3, Free: 249},
	})
	if diags.HasError() {
		t.Fatal(diags)
	}
	if diff := cmp.Diff(written(nil), got); diff != "" {
		t.Errorf("fromAPI(...): -want, +got:\n%s", diff)
	}
}

func TestKnown(t *testing.T) {
	cases := map[string]struct {
		reason string
		model  model
		want   bool
	}{
		"All": {
			reason: "Null and empty are known.",
			model:  written(func(m *model) { m.Excluded = list(types.StringType) }),
			want:   true,
		},
		"Computed": {
			reason: "What is computed is not asked for.",
			model: written(func(m *model) {
				m.ID, m.Total, m.GatewayID = types.StringUnknown(), types.Int64Unknown(), types.StringUnknown()
			}),
			want: true,
		},
		"Subnet": {
			reason: "An unknown attribute.",
			model:  written(func(m *model) { m.Subnet = cidrtypes.NewIPPrefixUnknown() }),
		},
		"List": {
			reason: "An unknown list.",
			model:  written(func(m *model) { m.Ranges = types.ListUnknown(rangeType) }),
		},
		"Element": {
			reason: "An unknown element.",
			model:  written(func(m *model) { m.NameServers = list(addressType, iptypes.NewIPAddressUnknown()) }),
		},
		"Range": {
			reason: "An unknown range.",
			model:  written(func(m *model) { m.Ranges = list(rangeType, types.ObjectUnknown(rangeType.AttrTypes)) }),
		},
		"End": {
			reason: "An unknown end of a range.",
			model: written(func(m *model) {
				m.Ranges = list(rangeType, between(iptypes.NewIPAddressValue("10.0.0.1"), iptypes.NewIPAddressUnknown()))
			}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.model.known(); got != tc.want {
				t.Errorf("%s\nknown(): want %t, got %t", tc.reason, tc.want, got)
			}
		})
	}
}

func TestDefaultPrefix(t *testing.T) {
	cases := map[string]struct {
		reason string
		subnet cidrtypes.IPPrefix
		want   types.Int64
	}{
		"IPv4": {
			reason: "The subnet's length.",
			subnet: cidrtypes.NewIPPrefixValue("10.0.0.0/22"),
			want:   types.Int64Value(22),
		},
		"IPv6": {
			reason: "The subnet's length.",
			subnet: cidrtypes.NewIPPrefixValue("fd00::/64"),
			want:   types.Int64Value(64),
		},
		"Unknown": {
			reason: "It cannot be known yet.",
			subnet: cidrtypes.NewIPPrefixUnknown(),
			want:   types.Int64Unknown(),
		},
		"Null": {
			reason: "There is no subnet to take it from.",
			subnet: cidrtypes.NewIPPrefixNull(),
			want:   types.Int64Null(),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := defaultPrefix(tc.subnet); !got.Equal(tc.want) {
				t.Errorf("%s\ndefaultPrefix(%s): want %s, got %s", tc.reason, tc.subnet, tc.want, got)
			}
		})
	}
}
