package vmwarecluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func testSchema(t *testing.T) schema.Schema {
	t.Helper()
	var resp resource.SchemaResponse
	(&Resource{}).Schema(t.Context(), resource.SchemaRequest{}, &resp)
	return resp.Schema
}

func smallSpec() hubapi.ClusterSpec {
	pool := hubapi.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements:     []hubapi.Placement{{ComputeCluster: "prod-a", Datastore: "vsan", Networks: []string{"pg"}}},
		UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
	}
	return hubapi.ClusterSpec{
		Name: "prod", CloudAccountID: "account", KubernetesVersion: "v1.34.1", Datacenter: "dc", Folder: "k8s/prod",
		Template: "ubuntu", CloneMode: hubapi.CloneAuto, Endpoint: hubapi.Endpoint{Host: "10.0.0.9", Port: 6443},
		Network: hubapi.ClusterNetwork{
			PodCIDR: defaultPodCIDR, ServiceCIDR: defaultServiceCIDR, DNSDomain: defaultDNSDomain,
		},
		ControlPlane: pool,
	}
}

func fullSpec() hubapi.ClusterSpec {
	spec := smallSpec()
	spec.SSHAuthorizedKeys = []string{"ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"}
	spec.NTPServers = []string{"ntp.example"}
	spec.WorkerPools = map[string]hubapi.Pool{
		"general": {
			Count: 3, CPU: 4, MemoryMiB: 8192, DiskGiB: 40,
			Labels: map[string]string{"tier": "general"}, Annotations: map[string]string{"a": "b"},
			Taints: []hubapi.Taint{{Key: "k", Effect: "NoSchedule"}, {Key: "k2", Value: "v", Effect: "NoExecute"}},
			Placements: []hubapi.Placement{
				{ComputeCluster: "a", ResourcePool: "rp", Datastore: "d", Networks: []string{"n1", "n2"}, IPPoolID: "pool"},
				{ComputeCluster: "b", Datastore: "d2", Networks: []string{"n1"}},
			},
			UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 2, MaxUnavailable: 1},
		},
		"empty": {
			Placements:     []hubapi.Placement{{ComputeCluster: "a", Datastore: "d", Networks: []string{"n"}}},
			UpdateStrategy: hubapi.UpdateStrategy{MaxUnavailable: 1},
		},
	}
	return spec
}

// modelOf is the model that a cluster of this spec is read into.
func modelOf(t *testing.T, spec hubapi.ClusterSpec) model {
	t.Helper()
	var m model
	m.Timeouts = timeouts.Value{Object: types.ObjectNull(stringTypes("create", "update", "delete"))}
	c := &hubapi.Cluster{Meta: hubapi.Meta{ID: "id", Name: spec.Name}, Spec: spec, Status: hubapi.ClusterStatus{
		Phase: hubapi.PhaseReady, Ready: true,
	}}
	if diags := m.fromAPI(t.Context(), c); diags.HasError() {
		t.Fatal(diags)
	}
	return m
}

func TestSpecRoundTrip(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		spec   hubapi.ClusterSpec
	}{
		"Small": {reason: "What is left out stays out.", spec: smallSpec()},
		"Full":  {reason: "Nothing of a spec is lost on the way into state and out again.", spec: fullSpec()},
	} {
		t.Run(name, func(t *testing.T) {
			m := modelOf(t, tc.spec)
			// Through the schema, so that a type that does not fit it shows.
			state := tfsdk.State{Schema: testSchema(t)}
			state.Raw = tftypes.NewValue(state.Schema.Type().TerraformType(t.Context()), nil)
			if diags := state.Set(t.Context(), m); diags.HasError() {
				t.Fatal(diags)
			}
			var read model
			if diags := state.Get(t.Context(), &read); diags.HasError() {
				t.Fatal(diags)
			}
			got, diags := read.toSpec(t.Context())
			if diags.HasError() {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(tc.spec, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFromAPINullAndEmpty(t *testing.T) {
	emptyMap := types.MapValueMust(types.StringType, map[string]attr.Value{})
	for name, tc := range map[string]struct {
		reason      string
		before      func(m *model)
		wantKeys    attr.Value
		wantPools   attr.Value
		wantLabels  attr.Value
		wantPlanned attr.Value
	}{
		"Null": {
			reason:      "A configuration without the attributes keeps null.",
			before:      func(*model) {},
			wantKeys:    types.ListNull(types.StringType),
			wantPools:   types.MapNull(types.ObjectType{AttrTypes: poolTypes}),
			wantLabels:  types.MapNull(types.StringType),
			wantPlanned: emptyStrings(),
		},
		"Empty": {
			reason: "A configuration with empty ones keeps them empty, though the wire has neither.",
			before: func(m *model) {
				m.SSHAuthorizedKeys = emptyStrings()
				m.WorkerPools = types.MapValueMust(types.ObjectType{AttrTypes: poolTypes}, map[string]attr.Value{})
				attrs := m.ControlPlane.Attributes()
				attrs["labels"] = emptyMap
				m.ControlPlane = types.ObjectValueMust(poolTypes, attrs)
			},
			wantKeys:    emptyStrings(),
			wantPools:   types.MapValueMust(types.ObjectType{AttrTypes: poolTypes}, map[string]attr.Value{}),
			wantLabels:  emptyMap,
			wantPlanned: emptyStrings(),
		},
		"Unknown": {
			reason:      "Computed values that were unknown in the plan are known in the state.",
			before:      func(m *model) { m.PlannedOperations = types.ListUnknown(types.StringType) },
			wantKeys:    types.ListNull(types.StringType),
			wantPools:   types.MapNull(types.ObjectType{AttrTypes: poolTypes}),
			wantLabels:  types.MapNull(types.StringType),
			wantPlanned: emptyStrings(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := modelOf(t, smallSpec())
			tc.before(&m)
			c := &hubapi.Cluster{Spec: smallSpec()}
			if diags := m.fromAPI(t.Context(), c); diags.HasError() {
				t.Fatal(diags)
			}
			for _, check := range []struct {
				name      string
				want, got attr.Value
			}{
				{"ssh_authorized_keys", tc.wantKeys, m.SSHAuthorizedKeys},
				{"worker_pools", tc.wantPools, m.WorkerPools},
				{"labels", tc.wantLabels, m.ControlPlane.Attributes()["labels"]},
				{"planned_operations", tc.wantPlanned, m.PlannedOperations},
			} {
				if !check.want.Equal(check.got) {
					t.Errorf("%s\n%s: want %s, got %s", tc.reason, check.name, check.want, check.got)
				}
			}
		})
	}
}

func TestFromAPIImport(t *testing.T) {
	m := modelOf(t, fullSpec())
	if !m.Protection.ValueBool() || m.OnCreateTimeout.ValueString() != onTimeoutResume {
		t.Errorf("an import has the defaults of what only the provider knows, so that it plans empty: %s, %s",
			m.Protection, m.OnCreateTimeout)
	}
}

func TestMachinesAreSorted(t *testing.T) {
	names := func(list types.List) []string {
		var names []string
		for _, m := range list.Elements() {
			object, ok := m.(types.Object)
			if !ok {
				t.Fatalf("machine is %T", m)
			}
			name, ok := object.Attributes()["name"].(types.String)
			if !ok {
				t.Fatal("name is no string")
			}
			names = append(names, name.ValueString())
		}
		return names
	}
	var m model
	diags := m.fromAPI(t.Context(), &hubapi.Cluster{Spec: smallSpec(), Status: hubapi.ClusterStatus{Machines: []hubapi.Machine{
		{Name: "prod-b-0", Pool: "b"},
		{Name: "prod-a-10", Pool: "a"},
		{Name: "prod-a-2-r2", Pool: "a"},
		{Name: "prod-a-2", Pool: "a"},
		{Name: "prod-cp-0", Pool: hubapi.ControlPlanePool},
	}}})
	if diags.HasError() {
		t.Fatal(diags)
	}
	want := []string{"prod-cp-0", "prod-a-2", "prod-a-2-r2", "prod-a-10", "prod-b-0"}
	if diff := cmp.Diff(want, names(m.Machines)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSchemaIsValid(t *testing.T) {
	if diags := testSchema(t).ValidateImplementation(t.Context()); diags.HasError() {
		t.Error(diags)
	}
}
