// Package vmwarecluster owns the resource and the data source palette_vmware_cluster: what the provider makes of a
// Kubernetes cluster on vSphere. It shows in a plan what the hub says an apply would do, writes the spec, and waits. What
// has to be done, and how, is decided behind the hub.
package vmwarecluster

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const (
	noun = "Cluster"

	defaultCreate = 60 * time.Minute
	defaultUpdate = 120 * time.Minute
	defaultDelete = 60 * time.Minute
	// lastLook bounds what is still asked for after an interruption, so that the state can be written.
	lastLook = 20 * time.Second

	// memoryKey keeps the memory in private state.
	memoryKey = "memory"
)

// reads is what the resource asks of the hub.
type reads interface {
	Cluster(ctx context.Context, id string) (*hubapi.Cluster, error)
	RefreshCluster(ctx context.Context, id string) (*hubapi.Cluster, error)
	ClusterByName(ctx context.Context, name string) (*hubapi.Cluster, error)
	PreviewCluster(ctx context.Context, preview hubapi.ClusterPreview) (*hubapi.Preview, error)
}

// writes is what the resource has the hub do, and how it hears of the end.
type writes interface {
	watcher
	PutCluster(ctx context.Context, id string, write hubapi.ClusterWrite, opts hubapi.WriteOptions) (*hubapi.Cluster, error)
	DeleteCluster(ctx context.Context, id string) error
}

// records is what tells a cluster that was deleted from one whose records are elsewhere.
type records interface {
	tfkit.GatewayReader
	CloudAccount(ctx context.Context, id string) (*hubapi.CloudAccount, error)
}

// Resource is palette_vmware_cluster.
type Resource struct {
	reads   reads
	writes  writes
	records records
}

var (
	_ resource.Resource                = (*Resource)(nil)
	_ resource.ResourceWithConfigure   = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan  = (*Resource)(nil)
	_ resource.ResourceWithImportState = (*Resource)(nil)
	_ resource.ResourceWithIdentity    = (*Resource)(nil)
)

// NewResource returns the resource.
func NewResource() resource.Resource { return &Resource{} }

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_vmware_cluster"
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = tfkit.IdentitySchema(noun)
}

// Configure implements resource.ResourceWithConfigure.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	if client := tfkit.Configure(req.ProviderData, &resp.Diagnostics); client != nil {
		r.reads, r.writes, r.records = client, client, client
	}
}

// ImportState implements resource.ResourceWithImportState.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tfkit.ImportByIDOrName(ctx, noun, req, resp, func(ctx context.Context, idOrName string) (string, error) {
		c, err := find(ctx, r.reads, idOrName)
		if err != nil {
			return "", err
		}
		return c.ID, nil
	})
}

// find looks a cluster up by what may be its id or its name.
func find(ctx context.Context, r reads, idOrName string) (*hubapi.Cluster, error) {
	if uuid.Validate(idOrName) == nil {
		c, err := r.Cluster(ctx, idOrName)
		if !errors.Is(err, hubapi.ErrNotFound) {
			return c, err
		}
	}
	return r.ClusterByName(ctx, idOrName)
}

// Create implements resource.Resource.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	limit, d := plan.Timeouts.Create(ctx, defaultCreate)
	resp.Diagnostics.Append(d...)
	spec, d := plan.toSpec(ctx)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	r.fillOperations(ctx, &plan, "", spec, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	opts := hubapi.WriteOptions{Create: true}
	written, err := r.writes.PutCluster(ctx, tfkit.NewID(), hubapi.ClusterWrite{Spec: spec}, opts)
	if err != nil {
		appendWriteError(&resp.Diagnostics, "Create", err)
		return
	}
	// From here on the cluster exists, whatever happens: its state is complete before anything is waited for.
	save := func(c *hubapi.Cluster) {
		resp.Diagnostics.Append(plan.fromAPI(ctx, c)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
		tfkit.SetIdentity(ctx, resp.Identity, c.ID, &resp.Diagnostics)
		resp.Diagnostics.Append(remember(ctx, resp.Private, c)...)
	}
	save(written)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx = tflog.SetField(ctx, "cluster_id", written.ID)
	last, told, err := r.wait(ctx, written, limit)
	if !errors.Is(err, errGone) {
		save(last)
	} else {
		resp.State.RemoveResource(ctx)
	}
	if unfinished(err) {
		r.interrupted(ctx, plan, last, told, whyUnfinished(err), resp)
		return
	}
	reportEnd(&resp.Diagnostics, "Create", last, told, err)
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Command lines that keep no identity want one even of what is gone.
	tfkit.SetIdentity(ctx, resp.Identity, state.ID.ValueString(), &resp.Diagnostics)
	c, err := r.reads.RefreshCluster(ctx, state.ID.ValueString())
	if errors.Is(err, hubapi.ErrNotFound) {
		if !r.refuseOtherHub(ctx, "Read", state, req.Private, &resp.Diagnostics) {
			resp.State.RemoveResource(ctx)
		}
		return
	}
	if isBlind(err) {
		warnBlind(&resp.Diagnostics, state.Name.ValueString(), err)
		return
	}
	if err != nil {
		tfkit.AppendError(&resp.Diagnostics, "Read", noun, err)
		return
	}
	managed.add(c.ID)
	resp.Diagnostics.Append(state.fromAPI(ctx, c)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
	resp.Diagnostics.Append(remember(ctx, resp.Private, c)...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	limit, d := plan.Timeouts.Update(ctx, defaultUpdate)
	resp.Diagnostics.Append(d...)
	spec, d := plan.toSpec(ctx)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	id := plan.ID.ValueString()
	if !plan.Phase.IsUnknown() {
		// Only what the provider keeps for itself has changed.
		resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
		tfkit.SetIdentity(ctx, resp.Identity, id, &resp.Diagnostics)
		return
	}
	before, d := tfkit.GetPrivate[memory](ctx, req.Private, memoryKey)
	resp.Diagnostics.Append(d...)
	r.fillOperations(ctx, &plan, id, spec, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	opts := hubapi.WriteOptions{IfGeneration: before.Generation}
	written, err := r.writes.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: spec}, opts)
	if err != nil {
		appendWriteError(&resp.Diagnostics, "Update", err)
		return
	}
	ctx = tflog.SetField(ctx, "cluster_id", id)
	last, told, err := r.wait(ctx, written, limit)
	if !errors.Is(err, errGone) {
		resp.Diagnostics.Append(plan.fromAPI(ctx, last)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
		tfkit.SetIdentity(ctx, resp.Identity, id, &resp.Diagnostics)
		resp.Diagnostics.Append(remember(ctx, resp.Private, last)...)
	}
	reportEnd(&resp.Diagnostics, "Update", last, told, err)
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state model
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	limit, d := state.Timeouts.Delete(ctx, defaultDelete)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	r.refuseProtected(ctx, state, "destroy", &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx = tflog.SetField(ctx, "cluster_id", state.ID.ValueString())
	if !r.remove(ctx, state.ID.ValueString(), limit, &resp.Diagnostics) {
		r.refuseOtherHub(ctx, "Delete", state, req.Private, &resp.Diagnostics)
	}
}

// fillOperations gives planned operations a value that were unknown in the plan to the end, because earlier work went on.
func (r *Resource) fillOperations(
	ctx context.Context, plan *model, id string, spec hubapi.ClusterSpec, diags *diag.Diagnostics,
) {
	if !plan.PlannedOperations.IsUnknown() {
		return
	}
	if id == "" {
		if existing, err := r.reads.ClusterByName(ctx, spec.Name); err == nil {
			id = existing.ID
		}
	}
	preview, err := r.reads.PreviewCluster(ctx, hubapi.ClusterPreview{ID: id, Spec: spec})
	if err != nil {
		tfkit.AppendError(diags, "Preview", noun, err)
		return
	}
	plan.PlannedOperations = fromStrings(preview.Summary, emptyStrings())
	// What the plan could not know is refused now, before anything is written.
	tfkit.AppendProblems(diags, slices.DeleteFunc(preview.Problems, func(p hubapi.ClusterProblem) bool {
		return p.Severity != hubapi.SeverityError
	}))
}

// sameSpec tells whether two specs mean the same.
func sameSpec(a, b hubapi.ClusterSpec) bool { return reflect.DeepEqual(a, b) }
