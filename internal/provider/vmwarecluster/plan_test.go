package vmwarecluster

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestDecide(t *testing.T) {
	nothing := &hubapi.Preview{}
	repair := &hubapi.Preview{Operations: []hubapi.Operation{{}}, Summary: []string{"power on prod-cp-0"}}
	for name, tc := range map[string]struct {
		reason string
		in     situation
		want   decision
	}{
		"NoChange": {
			reason: "A plan with nothing to do is empty.",
			in:     situation{Exists: true, Ready: true, SpecKnown: true, Preview: nothing},
			want:   decision{Keep: true},
		},
		"Drift": {
			reason: "A difference in the world is planned although the configuration is the same.",
			in:     situation{Exists: true, Ready: true, SpecKnown: true, Preview: repair},
			want:   decision{Operations: []string{"power on prod-cp-0"}},
		},
		"Blind": {
			reason: "What nobody can see is not planned.",
			in:     situation{Exists: true, Ready: true, SpecKnown: true, Blind: true},
			want:   decision{Keep: true},
		},
		"BlindChange": {
			reason: "What is asked for is, whatever it comes to.",
			in:     situation{Exists: true, Ready: true, SpecKnown: true, SpecChanged: true, Blind: true},
			want:   decision{},
		},
		"NotReady": {
			reason: "A cluster that is not ready is waited for, even with nothing left to do.",
			in:     situation{Exists: true, SpecKnown: true, Preview: nothing},
			want:   decision{Operations: []string{}},
		},
		"SpecOnly": {
			reason: "A change of the spec is written, though no machine is touched.",
			in:     situation{Exists: true, Ready: true, SpecKnown: true, SpecChanged: true, Preview: nothing},
			want:   decision{Operations: []string{}},
		},
		"Create": {
			reason: "A new cluster shows what will be made.",
			in:     situation{SpecKnown: true, Preview: repair},
			want:   decision{Operations: []string{"power on prod-cp-0"}},
		},
		"CreateUnknown": {
			reason: "Without a known spec nothing can be foretold.",
			in:     situation{},
			want:   decision{},
		},
		"UpdateUnknown": {
			reason: "The same for a cluster that exists.",
			in:     situation{Exists: true, Ready: true, SpecChanged: true},
			want:   decision{},
		},
		"Underway": {
			reason: "What is left changes by itself between plan and apply, so nothing is promised.",
			in:     situation{Exists: true, Underway: true, SpecKnown: true, Preview: repair},
			want:   decision{},
		},
		"UnderwayWithNothingLeft": {
			reason: "Work that goes on is waited for.",
			in:     situation{Exists: true, Underway: true, Ready: true, SpecKnown: true, Preview: nothing},
			want:   decision{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decide(tc.in)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestForcesReplacement(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(m *model)
		want   []string
	}{
		"Nothing": {reason: "No change, no replacement.", change: func(*model) {}},
		"InPlace": {
			reason: "Template and version are rolled, not replaced.",
			change: func(m *model) {
				m.Template, m.KubernetesVersion = types.StringValue("other"), types.StringValue("v1.35.0")
			},
		},
		"Folder": {
			reason: "A folder is named.",
			change: func(m *model) { m.Folder = types.StringValue("other") },
			want:   []string{"folder"},
		},
		"Unknown": {
			reason: "An account that is replaced itself has an unknown id.",
			change: func(m *model) { m.CloudAccountID = types.StringUnknown() },
			want:   []string{"cloud_account_id"},
		},
		"Several": {
			reason: "All are named.",
			change: func(m *model) {
				m.Name = types.StringValue("other")
				m.Endpoint = types.ObjectNull(endpointTypes)
				m.Network = types.ObjectNull(networkTypes)
				m.Datacenter = types.StringValue("other")
			},
			want: []string{"name", "datacenter", "control_plane_endpoint", "cluster_network"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan, state := modelOf(t, fullSpec()), modelOf(t, fullSpec())
			tc.change(&plan)
			if diff := cmp.Diff(tc.want, forcesReplacement(plan, state)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOfUnchanged(t *testing.T) {
	before := []hubapi.ClusterProblem{{Severity: hubapi.SeverityError, Field: "/template", Message: "gone"}}
	got := ofUnchanged(before)
	if got[0].Severity != hubapi.SeverityWarning || before[0].Severity != hubapi.SeverityError {
		t.Errorf("a problem of what nobody asked to change is a warning, in a copy: %v, %v", got, before)
	}
}

func TestOfReplacement(t *testing.T) {
	for name, tc := range map[string]struct {
		reason       string
		field        string
		sameEndpoint bool
		want         bool
	}{
		"Somewhere":     {reason: "What has no place may be about machines.", field: "", want: true},
		"SameEndpoint":  {reason: "The old cluster answers there.", field: "/control_plane_endpoint/host", sameEndpoint: true, want: true},
		"OtherEndpoint": {reason: "The old cluster does not answer there.", field: "/control_plane_endpoint/host"},
		"Pool":          {reason: "The old machines have addresses.", field: "/worker_pools/a/placements/0/ip_pool_id", want: true},
		"Template":      {reason: "No template comes of a destroy.", field: "/template"},
		"Datastore":     {reason: "No datastore comes of a destroy.", field: "/worker_pools/a/placements/0/datastore"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ofReplacement([]hubapi.ClusterProblem{{Severity: hubapi.SeverityError, Field: tc.field}}, tc.sameEndpoint)
			if len(got) != 1 {
				t.Fatalf("%s got %v", tc.reason, got)
			}
			if demoted := got[0].Severity == hubapi.SeverityWarning; demoted != tc.want {
				t.Errorf("%s demoted %v, want %v", tc.reason, demoted, tc.want)
			}
		})
	}
}

func TestOfReplacementDropsTheName(t *testing.T) {
	if got := ofReplacement([]hubapi.ClusterProblem{{Severity: hubapi.SeverityError, Field: "/name"}}, true); got != nil {
		t.Errorf("the preview of a replacement has a name of its own, got %v", got)
	}
}

func TestSpecKnown(t *testing.T) {
	object := func(change map[string]tftypes.Value) tftypes.Value {
		values := map[string]tftypes.Value{"phase": tftypes.NewValue(tftypes.String, tftypes.UnknownValue)}
		for _, name := range specAttributes {
			values[name] = tftypes.NewValue(tftypes.String, "x")
		}
		kinds := map[string]tftypes.Type{}
		maps.Copy(values, change)
		for name, value := range values {
			kinds[name] = value.Type()
		}
		return tftypes.NewValue(tftypes.Object{AttributeTypes: kinds}, values)
	}
	list := tftypes.List{ElementType: tftypes.String}
	for name, tc := range map[string]struct {
		reason string
		in     tftypes.Value
		want   bool
	}{
		"Known": {reason: "An unknown phase is no part of the spec.", in: object(nil), want: true},
		"Null": {
			reason: "Null is known.", want: true,
			in: object(map[string]tftypes.Value{"worker_pools": tftypes.NewValue(tftypes.String, nil)}),
		},
		"Nested": {
			reason: "One unknown element makes the spec unknown.",
			in: object(map[string]tftypes.Value{"control_plane": tftypes.NewValue(list, []tftypes.Value{
				tftypes.NewValue(tftypes.String, tftypes.UnknownValue),
			})}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := specKnown(tc.in); got != tc.want {
				t.Errorf("%s\ngot %v", tc.reason, got)
			}
		})
	}
}
