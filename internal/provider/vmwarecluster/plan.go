package vmwarecluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// situation is what a plan is decided by. All of it but the preview comes from state and configuration, so that the
// second plan which Terraform makes at apply decides alike.
type situation struct {
	// Exists is false for a cluster that is to be created.
	Exists bool
	// Underway tells that earlier work still goes on, so that what is left to do changes by itself.
	Underway bool
	Ready    bool
	// SpecKnown is false while a value of the configuration is unknown.
	SpecKnown   bool
	SpecChanged bool
	// Blind tells that nobody can look before the cloud account is corrected.
	Blind bool
	// Preview is nil when it could not be asked for.
	Preview *hubapi.Preview
}

// decision is what a plan does to computed attributes.
type decision struct {
	// Keep leaves all of them as they are in state.
	Keep bool
	// Operations are the planned operations; nil is unknown.
	Operations []string
}

func decide(s situation) decision {
	if s.Blind && s.Exists && s.Ready && !s.Underway && !s.SpecChanged {
		return decision{Keep: true} // What nobody can see is not planned: the account may be all that is to change.
	}
	if !s.SpecKnown || s.Underway || s.Preview == nil {
		return decision{}
	}
	if s.Exists && s.Ready && !s.SpecChanged && len(s.Preview.Operations) == 0 {
		return decision{Keep: true}
	}
	return decision{Operations: append([]string{}, s.Preview.Summary...)}
}

// apply writes the decision into a plan, one attribute at a time.
func (d decision) apply(ctx context.Context, plan *tfsdk.Plan, diags *diag.Diagnostics) {
	if d.Keep {
		return
	}
	operations := types.ListUnknown(types.StringType)
	if d.Operations != nil {
		operations = fromStrings(d.Operations, emptyStrings())
	}
	for name, value := range map[string]attr.Value{
		"planned_operations": operations,
		"phase":              types.StringUnknown(),
		"ready":              types.BoolUnknown(),
		"conditions":         types.ListUnknown(types.ObjectType{AttrTypes: conditionTypes}),
		"machines":           types.ListUnknown(types.ObjectType{AttrTypes: machineTypes}),
	} {
		diags.Append(plan.SetAttribute(ctx, path.Root(name), value)...)
	}
}

// ModifyPlan implements resource.ResourceWithModifyPlan: it asks what an apply would do and shows it.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var plan, state model
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		managed.add(state.ID.ValueString())
	}
	if req.Plan.Raw.IsNull() {
		r.refuseProtected(ctx, state, "destroy", &resp.Diagnostics)
		return
	}
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var d decision
	switch {
	case req.State.Raw.IsNull():
		d = r.planCreate(ctx, plan, specKnown(req.Plan.Raw), &resp.Diagnostics)
	case hubapi.Phase(state.Phase.ValueString()) == hubapi.PhaseDeleting:
		remake(state, resp)
	case r.planReplace(ctx, plan, state, &resp.Diagnostics):
		return
	default:
		d = r.planUpdate(ctx, plan, state, specKnown(req.Plan.Raw), &resp.Diagnostics)
	}
	if !resp.Diagnostics.HasError() {
		d.apply(ctx, &resp.Plan, &resp.Diagnostics)
	}
}

// remake replaces a cluster whose destroy did not finish: nothing can be made of it any more, and nobody but another
// destroy goes on with what is left.
func remake(state model, resp *resource.ModifyPlanResponse) {
	resp.RequiresReplace = append(resp.RequiresReplace, path.Root("phase"))
	resp.Diagnostics.AddWarning("Cluster Is Half Deleted", fmt.Sprintf(
		"A destroy of cluster %q (%s) has begun and did not finish. An apply finishes it and creates the cluster anew; terraform "+
			"destroy finishes it.", state.Name.ValueString(), state.ID.ValueString()))
}

func (r *Resource) planUpdate(ctx context.Context, plan, state model, known bool, diags *diag.Diagnostics) decision {
	s := situation{
		Exists: true, SpecKnown: known, Ready: state.Ready.ValueBool(),
		Underway: !restful(hubapi.Phase(state.Phase.ValueString())),
	}
	if !known || r.reads == nil {
		return decide(s)
	}
	spec, d := plan.toSpec(ctx)
	diags.Append(d...)
	before, d := state.toSpec(ctx)
	diags.Append(d...)
	s.SpecChanged = !sameSpec(spec, before)
	s.Preview, s.Blind = r.look(ctx, state.ID.ValueString(), spec, diags)
	if s.Preview != nil && s.SpecChanged {
		tfkit.AppendProblems(diags, s.Preview.Problems)
	} else if s.Preview != nil {
		tfkit.AppendProblems(diags, ofUnchanged(s.Preview.Problems))
	}
	if s.Underway && s.Preview != nil && len(s.Preview.Summary) > 0 {
		diags.AddWarning("Cluster Is Still Being Worked On", fmt.Sprintf(
			"Cluster %q is in phase %s: earlier work goes on while this plan is made. This apply waits for it and does what is "+
				"left. At this moment that is:\n  %s", spec.Name, state.Phase.ValueString(), strings.Join(s.Preview.Summary, "\n  ")))
	}
	return decide(s)
}

func (r *Resource) planCreate(ctx context.Context, plan model, known bool, diags *diag.Diagnostics) decision {
	s := situation{SpecKnown: known}
	if !known || r.reads == nil {
		return decide(s)
	}
	spec, d := plan.toSpec(ctx)
	diags.Append(d...)
	existing, err := r.reads.ClusterByName(ctx, spec.Name)
	switch {
	case err == nil:
		s.Underway = true
		r.planOver(ctx, existing, spec, diags)
	case errors.Is(err, hubapi.ErrNotFound):
		if s.Preview, s.Blind = r.look(ctx, "", spec, diags); s.Preview != nil {
			tfkit.AppendProblems(diags, s.Preview.Problems)
		}
	case !errors.Is(err, hubapi.ErrUnconfigured):
		tfkit.AppendError(diags, "Preview", "Cluster", err)
	}
	return decide(s)
}

// planOver plans the creation of a cluster whose name is taken: by the cluster that is about to be replaced, by one whose
// creation did not finish, or by somebody else's.
func (r *Resource) planOver(ctx context.Context, existing *hubapi.Cluster, spec hubapi.ClusterSpec, diags *diag.Diagnostics) {
	if managed.has(existing.ID) {
		// Under the name of the old one the hub would speak of the old one.
		spec.Name = "new-" + spec.Name
		if preview, _ := r.look(ctx, "", spec, diags); preview != nil {
			tfkit.AppendProblems(diags, ofReplacement(preview.Problems, existing.Spec.Endpoint == spec.Endpoint))
		}
		return
	}
	preview, _ := r.look(ctx, "", spec, diags)
	if preview == nil {
		return
	}
	tfkit.AppendProblems(diags, preview.Problems)
	if !diags.HasError() {
		diags.AddAttributeWarning(path.Root("name"), "Cluster Is Taken Over", fmt.Sprintf(
			"There is a cluster %q already (id %s, phase %s) that an earlier apply began and did not bring into a Terraform state. "+
				"This apply goes on with it.", existing.Name, existing.ID, existing.Status.Phase))
	}
}

// ofUnchanged makes warnings of the problems of a cluster that nobody asked to change. Terraform plans the configuration as
// it is before it plans a destroy, and an error there would keep people from destroying what is past repair.
func ofUnchanged(problems []hubapi.ClusterProblem) []hubapi.ClusterProblem {
	warnings := slices.Clone(problems)
	for i, p := range warnings {
		if p.Severity == hubapi.SeverityError {
			warnings[i].Severity = hubapi.SeverityWarning
			warnings[i].Message += "\n\nThe configuration has not changed, so this is a warning; an apply that has to do something will " +
				"be refused, a destroy will not."
		}
	}
	return warnings
}

// ofReplacement makes warnings of those problems that may be the doing of the cluster about to be replaced: taken names and
// addresses. What is missing in the vCenter stays an error, so that nothing is destroyed that cannot be made again, and so
// does what is wrong with an endpoint that the old cluster does not have. (Terraform shows nothing but errors of this plan.)
func ofReplacement(problems []hubapi.ClusterProblem, sameEndpoint bool) []hubapi.ClusterProblem {
	var left []hubapi.ClusterProblem
	for _, p := range problems {
		switch {
		case p.Field == "/name":
			continue // of the name that only this preview has
		case p.Severity == hubapi.SeverityError && (p.Field == "" || p.Field == "/folder" ||
			strings.HasSuffix(p.Field, "/count") || strings.HasSuffix(p.Field, "/ip_pool_id") ||
			sameEndpoint && strings.HasPrefix(p.Field, "/control_plane_endpoint")):
			p.Severity = hubapi.SeverityWarning
			p.Message += " (the cluster that is replaced may be the cause)"
		}
		left = append(left, p)
	}
	return left
}

// look asks for a preview. It returns none when the provider's configuration is not known yet, when nobody can look, which
// it tells, and after an error.
func (r *Resource) look(
	ctx context.Context, id string, spec hubapi.ClusterSpec, diags *diag.Diagnostics,
) (preview *hubapi.Preview, blind bool) {
	preview, err := r.reads.PreviewCluster(ctx, hubapi.ClusterPreview{ID: id, Spec: spec})
	switch {
	case err == nil:
		return preview, false
	case errors.Is(err, hubapi.ErrUnconfigured):
		return nil, false
	case isBlind(err):
		warnBlind(diags, spec.Name, err)
		return nil, true
	default:
		tfkit.AppendError(diags, "Preview", "Cluster", err)
		return nil, false
	}
}

// isBlind tells that the vCenter cannot be looked at because the cloud account is not right any more: its password was
// changed, or its certificate. That is no error of a plan, which would not get to the account that is to be corrected.
func isBlind(err error) bool {
	return errors.Is(err, hubapi.ErrCredentials) || errors.Is(err, hubapi.ErrUntrusted)
}

func warnBlind(diags *diag.Diagnostics, name string, err error) {
	var why diag.Diagnostics
	tfkit.AppendError(&why, "Read", noun, err)
	diags.AddWarning("Cluster Cannot Be Looked At", fmt.Sprintf(
		"Cluster %q is shown as it was last seen. Correct its cloud account and apply; the next plan shows what has changed "+
			"meanwhile.\n\n%s", name, why[0].Detail()))
}

// planReplace tells whether the plan replaces the cluster, names the attributes that force it, and refuses it for a
// protected cluster.
func (r *Resource) planReplace(ctx context.Context, plan, state model, diags *diag.Diagnostics) bool {
	forcing := forcesReplacement(plan, state)
	for _, name := range forcing {
		diags.AddAttributeWarning(path.Root(name), "Cluster Will Be Replaced", fmt.Sprintf(
			"A change of %q forces replacement: the %d machines of cluster %q are destroyed, and the cluster is created anew.",
			name, len(state.Machines.Elements()), state.Name.ValueString()))
	}
	if len(forcing) > 0 {
		r.refuseProtected(ctx, state, "replace", diags)
	}
	return len(forcing) > 0
}

// forcesReplacement names the attributes whose change forces replacement. It follows the modifiers in the schema.
func forcesReplacement(plan, state model) []string {
	var names []string
	for _, a := range []struct {
		name         string
		plan, before attr.Value
	}{
		{"name", plan.Name, state.Name},
		{"cloud_account_id", plan.CloudAccountID, state.CloudAccountID},
		{"datacenter", plan.Datacenter, state.Datacenter},
		{"folder", plan.Folder, state.Folder},
		{"control_plane_endpoint", plan.Endpoint, state.Endpoint},
		{"cluster_network", plan.Network, state.Network},
	} {
		if !a.plan.Equal(a.before) {
			names = append(names, a.name)
		}
	}
	return names
}

// refuseProtected adds an error when the cluster is protected from being destroyed. What has never been ready is not
// protected: nothing runs on it.
func (r *Resource) refuseProtected(ctx context.Context, state model, verb string, diags *diag.Diagnostics) {
	if !state.Protection.ValueBool() || r.reads == nil {
		return
	}
	c, err := r.reads.Cluster(ctx, state.ID.ValueString())
	switch {
	case errors.Is(err, hubapi.ErrNotFound):
	case err != nil:
		tfkit.AppendError(diags, "Read", "Cluster", err)
	case c.DeletedAt != nil: // It is too late.
	case c.Status.EverReady:
		diags.AddAttributeError(path.Root("deletion_protection"), "Cluster Is Protected From Deletion", fmt.Sprintf(
			"Cluster %q has deletion_protection = true, so it is not possible to %s it. To do so on purpose, first apply "+
				"deletion_protection = false with no other change, then %s it.", state.Name.ValueString(), verb, verb))
	}
}

// specKnown tells whether every value that makes the spec is known.
func specKnown(raw tftypes.Value) bool {
	var attrs map[string]tftypes.Value
	if err := raw.As(&attrs); err != nil {
		return false
	}
	for _, name := range specAttributes {
		if !attrs[name].IsFullyKnown() {
			return false
		}
	}
	return true
}

// managed holds the clusters that this process has met in a Terraform state. The plan of a replacement does not say that
// it is one: Terraform asks for the new object as if nothing had been before. So that the name the cluster itself holds is
// not taken for somebody else's, it is remembered here.
var managed registry

type registry struct{ ids sync.Map }

func (r *registry) add(id string)      { r.ids.Store(id, true) }
func (r *registry) has(id string) bool { _, ok := r.ids.Load(id); return ok }
