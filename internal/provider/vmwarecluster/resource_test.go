package vmwarecluster

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestMain(m *testing.M) {
	// Where it names a missing file, OpenTofu's warning keeps its version from being read.
	if err := os.Unsetenv("TF_CLI_CONFIG_FILE"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// protocol drives the resource as Terraform does, without a CLI.
type protocol struct {
	t      *testing.T
	server tfprotov6.ProviderServer
	kind   tftypes.Type
	// last is what the last apply gave.
	last *tfprotov6.ApplyResourceChangeResponse
}

func newProtocol(t *testing.T, hub *fakeHub) *protocol {
	t.Helper()
	server, err := providerserver.NewProtocol6WithError(&testProvider{hub: hub})()
	if err != nil {
		t.Fatal(err)
	}
	return &protocol{t: t, server: server, kind: testSchema(t).Type().TerraformType(t.Context())}
}

// config is a configuration with the given timeouts and policy.
func (p *protocol) config(spec hubapi.ClusterSpec, policy, create string) tftypes.Value {
	p.t.Helper()
	m := modelOf(p.t, spec)
	m.ID, m.Phase, m.Ready = types.StringNull(), types.StringNull(), types.BoolNull()
	m.Conditions = types.ListNull(types.ObjectType{AttrTypes: conditionTypes})
	m.Machines = types.ListNull(types.ObjectType{AttrTypes: machineTypes})
	m.PlannedOperations = types.ListNull(types.StringType)
	m.OnCreateTimeout = types.StringValue(policy)
	m.Timeouts = timeouts.Value{Object: types.ObjectValueMust(stringTypes("create", "update", "delete"), map[string]attr.Value{
		"create": types.StringValue(create), "update": types.StringNull(), "delete": types.StringNull(),
	})}
	plan := tfsdk.Plan{Schema: testSchema(p.t), Raw: tftypes.NewValue(p.kind, nil)}
	if diags := plan.Set(p.t.Context(), m); diags.HasError() {
		p.t.Fatal(diags)
	}
	return plan.Raw
}

func (p *protocol) dynamic(v tftypes.Value) *tfprotov6.DynamicValue {
	p.t.Helper()
	d, err := tfprotov6.NewDynamicValue(p.kind, v)
	if err != nil {
		p.t.Fatal(err)
	}
	return &d
}

// create plans and applies a creation and returns the state and the diagnostics.
func (p *protocol) create(ctx context.Context, config tftypes.Value) (map[string]tftypes.Value, []*tfprotov6.Diagnostic) {
	p.t.Helper()
	none := p.dynamic(tftypes.NewValue(p.kind, nil))
	planned, err := p.server.PlanResourceChange(p.t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: "palette_vmware_cluster", PriorState: none, ProposedNewState: p.dynamic(config), Config: p.dynamic(config),
	})
	if err != nil || len(planned.Diagnostics) > 0 {
		p.t.Fatal(err, planned.Diagnostics)
	}
	applied, err := p.server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
		TypeName: "palette_vmware_cluster", PriorState: none, PlannedState: planned.PlannedState, Config: p.dynamic(config),
		PlannedPrivate: planned.PlannedPrivate, PlannedIdentity: planned.PlannedIdentity,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.last = applied
	state, err := applied.NewState.Unmarshal(p.kind)
	if err != nil {
		p.t.Fatal(err)
	}
	var attrs map[string]tftypes.Value
	if state.IsNull() {
		return nil, applied.Diagnostics
	}
	if err := state.As(&attrs); err != nil {
		p.t.Fatal(err)
	}
	return attrs, applied.Diagnostics
}

// destroy destroys what was created, without a refresh, and returns the diagnostics.
func (p *protocol) destroy() []*tfprotov6.Diagnostic {
	p.t.Helper()
	none := p.dynamic(tftypes.NewValue(p.kind, nil))
	applied, err := p.server.ApplyResourceChange(p.t.Context(), &tfprotov6.ApplyResourceChangeRequest{
		TypeName: "palette_vmware_cluster", PriorState: p.last.NewState, PlannedState: none, Config: none,
		PlannedPrivate: p.last.Private, PlannedIdentity: p.last.NewIdentity,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return applied.Diagnostics
}

// TestDestroyWithOtherHub checks that a cluster whose records are elsewhere does not count as destroyed.
func TestDestroyWithOtherHub(t *testing.T) {
	hub := newFakeHub()
	p := newProtocol(t, hub)
	if _, diags := p.create(t.Context(), p.config(smallSpec(), onTimeoutFail, "1h")); len(diags) > 0 {
		t.Fatal(diags)
	}
	hub.elsewhere, hub.clusters = true, map[string]hubapi.Cluster{}
	checkDiagnostics(t, "machines may be left", p.destroy(), tfprotov6.DiagnosticSeverityError, []string{"Unable to Delete", origin})
	hub.elsewhere = false
	if diags := p.destroy(); len(diags) > 0 {
		t.Errorf("one that was deleted is no error: %v", diags)
	}
}

func stringOf(t *testing.T, v tftypes.Value) string {
	t.Helper()
	var s string
	if err := v.As(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateSavesStateBeforeWaiting(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		policy   string
		timeout  string
		cancel   bool
		work     func(*hubapi.Cluster) bool
		severity tfprotov6.DiagnosticSeverity
		phase    string
		gone     bool
		says     []string
	}{
		"Resume": {
			reason: "A timeout while work goes on keeps the state and is a warning.",
			policy: onTimeoutResume, timeout: "50ms", work: hangs,
			severity: tfprotov6.DiagnosticSeverityWarning, phase: "Provisioning", says: []string{"timeout", "Provisioning", "working"},
		},
		"Interrupted": {
			reason: "So does Ctrl-C.",
			policy: onTimeoutResume, timeout: "1h", cancel: true, work: hangs,
			severity: tfprotov6.DiagnosticSeverityWarning, phase: "Provisioning", says: []string{"interrupted"},
		},
		"Fail": {
			reason: "As an error where that is asked for.",
			policy: onTimeoutFail, timeout: "50ms", work: hangs,
			severity: tfprotov6.DiagnosticSeverityError, phase: "Provisioning", says: []string{"untaint"},
		},
		"Delete": {
			reason: "Or what was made is removed again, and the state with it.",
			policy: onTimeoutDelete, timeout: "50ms",
			work:     func(c *hubapi.Cluster) bool { return c.DeletedAt != nil },
			severity: tfprotov6.DiagnosticSeverityError, gone: true, says: []string{"deleted"},
		},
		"DeleteBlocked": {
			reason: "What cannot be removed stays in state.",
			policy: onTimeoutDelete, timeout: "50ms",
			work: func(c *hubapi.Cluster) bool {
				return c.DeletedAt != nil && fails("foreign VM /dc/vm/other is in the folder")(c)
			},
			severity: tfprotov6.DiagnosticSeverityError, phase: "Provisioning", says: []string{"foreign VM /dc/vm/other"},
		},
		"Failed": {
			reason: "A failure is an error whatever the policy, with its message and the last events.",
			policy: onTimeoutResume, timeout: "1h", work: fails("guest said no"),
			severity: tfprotov6.DiagnosticSeverityError, phase: "Failed", says: []string{"guest said no", "Last events", "untaint"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub()
			hub.work = tc.work
			p := newProtocol(t, hub)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.cancel {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			state, diags := p.create(ctx, p.config(smallSpec(), tc.policy, tc.timeout))
			checkDiagnostics(t, tc.reason, diags, tc.severity, tc.says)
			if (state == nil) != tc.gone {
				t.Fatalf("%s\nstate %v", tc.reason, state)
			}
			if tc.gone {
				if len(hub.clusters) > 0 {
					t.Errorf("%s\nthe hub still has %v", tc.reason, hub.clusters)
				}
				return
			}
			if got := stringOf(t, state["phase"]); got != tc.phase {
				t.Errorf("%s\nphase %s, want %s", tc.reason, got, tc.phase)
			}
			if _, ok := hub.clusters[stringOf(t, state["id"])]; !ok {
				t.Errorf("%s\nid %s is not the cluster's", tc.reason, state["id"])
			}
		})
	}
}

func checkDiagnostics(
	t *testing.T, reason string, diags []*tfprotov6.Diagnostic, severity tfprotov6.DiagnosticSeverity, says []string,
) {
	t.Helper()
	var text strings.Builder
	worst := tfprotov6.DiagnosticSeverityWarning
	for _, d := range diags {
		text.WriteString(d.Summary + "\n" + d.Detail + "\n")
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			worst = d.Severity
		}
	}
	if len(diags) == 0 || worst != severity {
		t.Errorf("%s\nwant severity %s, got:\n%s", reason, severity, text.String())
	}
	for _, want := range says {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s\nnothing says %q:\n%s", reason, want, text.String())
		}
	}
}

func TestWriteErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"Busy": {
			reason: "Two applies at once get a clear word.",
			err:    hubapi.NewProblem(hubapi.CodeBusy, "generation 3 is being worked on"), want: "Another apply is changing this cluster",
		},
		"Conflict": {
			reason: "So does a write that was based on an old generation.",
			err:    hubapi.NewProblem(hubapi.CodeConflict, "generation 3"), want: "Another apply is changing this cluster",
		},
		"Other": {
			reason: "Others say what the hub says.",
			err:    hubapi.NewProblem(hubapi.CodeInvalid, "no such template").At("/template"), want: "no such template",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			appendWriteError(&diags, "Update", tc.err)
			if len(diags) != 1 || !strings.Contains(strings.ToLower(diags[0].Detail()), strings.ToLower(tc.want)) {
				t.Errorf("%s\ngot %v", tc.reason, diags)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		work    func(*hubapi.Cluster) bool
		missing bool
		limit   time.Duration
		says    string
	}{
		"Gone":    {reason: "A delete ends when nothing is left.", limit: time.Minute},
		"Missing": {reason: "What is not there is deleted.", missing: true, limit: time.Minute},
		"Blocked": {
			reason: "What is in the way is named.", limit: time.Minute,
			work: fails("disk [vsan] other.vmdk is attached to prod-cp-0"), says: "other.vmdk",
		},
		"Timeout": {reason: "A timeout names what is left.", limit: 20 * time.Millisecond, work: hangs, says: "prod-control-plane-0: ready"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub()
			hub.work = tc.work
			if !tc.missing {
				c := hubapi.Cluster{Meta: hubapi.Meta{ID: "id", Name: "prod", Generation: 1, ObservedGeneration: 1}, Spec: smallSpec()}
				asAsked(&c)
				hub.clusters["id"] = c
				hub.say(c, "an old failure")
			}
			var diags diag.Diagnostics
			(&Resource{reads: hub, writes: hub}).remove(t.Context(), "id", tc.limit, &diags)
			if diags.HasError() != (tc.says != "") {
				t.Fatalf("%s\ngot %v", tc.reason, diags)
			}
			if tc.says != "" && !strings.Contains(diags[0].Detail(), tc.says) {
				t.Errorf("%s\nnothing says %q: %s", tc.reason, tc.says, diags[0].Detail())
			}
		})
	}
}

func TestFind(t *testing.T) {
	const id = "0b9cdb0e-9f0e-4c7b-9a0a-7f3f1d3f5a11"
	hub := newFakeHub()
	hub.clusters[id] = hubapi.Cluster{Meta: hubapi.Meta{ID: id, Name: "prod"}}
	for name, tc := range map[string]struct {
		reason, wanted string
		want           error
	}{
		"ID":      {reason: "A cluster is found by its id.", wanted: id},
		"Name":    {reason: "And by its name.", wanted: "prod"},
		"Missing": {reason: "Others are not found.", wanted: "other", want: hubapi.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := find(t.Context(), hub, tc.wanted)
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s\ngot %v", tc.reason, err)
			}
			if err == nil {
				if diff := cmp.Diff(id, c.ID); diff != "" {
					t.Errorf("%s\n%s", tc.reason, diff)
				}
			}
		})
	}
}
