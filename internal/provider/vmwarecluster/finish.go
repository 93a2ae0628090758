package vmwarecluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// wait waits until the gateway has finished with what was written and returns the cluster as it is then, or as it is when
// the waiting ended, with what happened meanwhile.
func (r *Resource) wait(ctx context.Context, written *hubapi.Cluster, limit time.Duration) (*hubapi.Cluster, *story, error) {
	told := newStory(written.Status.Phase)
	var err error
	if !settled(written) {
		waitCtx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err = told.follow(waitCtx, r.writes, written.ID, written.Generation)
	}
	if errors.Is(err, errGone) || errors.Is(err, hubapi.ErrNotFound) {
		return written, told, errGone
	}
	lookCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	last, lookErr := r.reads.Cluster(lookCtx, written.ID)
	switch {
	case errors.Is(lookErr, hubapi.ErrNotFound):
		return written, told, errGone
	case lookErr != nil:
		return written, told, errors.Join(err, lookErr)
	case unfinished(err) && settled(last) && last.Generation == written.Generation:
		err = nil // it finished in the same moment
	}
	return last, told, err
}

// reportEnd adds an error unless the cluster is as asked.
func reportEnd(diags *diag.Diagnostics, verb string, last *hubapi.Cluster, told *story, err error) {
	summary := fmt.Sprintf("Unable to %s %s", verb, noun)
	switch {
	case errors.Is(err, errGone):
		diags.AddError(summary, fmt.Sprintf("Cluster %q was deleted by somebody else in the meantime.\n\n%s", last.Name, told.tell(last)))
	case unfinished(err):
		diags.AddError(summary, fmt.Sprintf("%s\n\n%s\n\nWhat vCenter has begun goes on; apply again to go on with the rest.",
			whyUnfinished(err), told.tell(last)))
	case err != nil:
		tfkit.AppendError(diags, verb, noun, err)
	case last.Status.Phase == hubapi.PhaseFailed:
		tfkit.AppendProblems(diags, last.Status.Problems)
		diags.AddError(summary, fmt.Sprintf("%s\n\n%s\n\n%s", last.Status.Message, told.tell(last), adviceAfter(verb)))
	}
}

func adviceAfter(verb string) string {
	if verb == "Create" {
		return "What was made is left as it is, for a look. Terraform marks the resource as tainted, so the next apply destroys it " +
			"and creates it anew. To go on with what exists instead, run terraform untaint on it and apply again."
	}
	return "What was done is left as it is. Once the cause is removed, apply again to go on."
}

func whyUnfinished(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "The timeout passed before the work was finished."
	case errors.Is(err, context.Canceled):
		return "The wait was interrupted before the work was finished."
	default:
		return "The connection to the hub was lost before the work was finished: " + err.Error() + "."
	}
}

// interrupted ends a create that nobody waits for any longer while the work goes on.
func (r *Resource) interrupted(
	ctx context.Context, plan model, last *hubapi.Cluster, told *story, why string, resp *resource.CreateResponse,
) {
	diags := &resp.Diagnostics
	switch plan.OnCreateTimeout.ValueString() {
	case onTimeoutFail:
		diags.AddError("Unable to Create "+noun, fmt.Sprintf("%s\n\n%s\n\n%s", why, told.tell(last), adviceAfter("Create")))
	case onTimeoutDelete:
		diags.AddError("Unable to Create "+noun, fmt.Sprintf("%s\n\n%s\n\nAs on_create_timeout says, what was made is deleted.",
			why, told.tell(last)))
		r.removeUnfinished(ctx, plan, last.ID, resp)
	default:
		diags.AddWarning("Cluster Is Not Ready Yet", fmt.Sprintf("%s\n\n%s\n\nThe cluster is kept with ready = false. The next "+
			"apply goes on where this one stopped; set timeouts.create to wait longer in the first place.", why, told.tell(last)))
	}
}

func (r *Resource) removeUnfinished(ctx context.Context, plan model, id string, resp *resource.CreateResponse) {
	limit, d := plan.Timeouts.Delete(ctx, defaultDelete)
	resp.Diagnostics.Append(d...)
	var failed diag.Diagnostics
	// The interruption must not interrupt the clean-up too.
	r.remove(context.WithoutCancel(ctx), id, limit, &failed)
	resp.Diagnostics.Append(failed...)
	if !failed.HasError() {
		resp.State.RemoveResource(ctx)
	}
}

// remove deletes a cluster and waits until nothing of it is left. It tells whether there was one: one that is not there is
// deleted, if this is where it was.
func (r *Resource) remove(ctx context.Context, id string, limit time.Duration, diags *diag.Diagnostics) (found bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := r.writes.DeleteCluster(ctx, id)
	switch {
	case errors.Is(err, hubapi.ErrNotFound):
		return false
	case err != nil:
		appendWriteError(diags, "Delete", err)
	default:
		r.awaitGone(ctx, id, limit, diags)
	}
	return true
}

func (r *Resource) awaitGone(ctx context.Context, id string, limit time.Duration, diags *diag.Diagnostics) {
	deleting, err := r.reads.Cluster(ctx, id)
	if errors.Is(err, hubapi.ErrNotFound) {
		return
	}
	if err != nil {
		tfkit.AppendError(diags, "Delete", noun, err)
		return
	}
	last, told, err := r.wait(ctx, deleting, limit)
	switch {
	case errors.Is(err, errGone):
		for _, warning := range told.warnings {
			diags.AddWarning("Something Was Left Alone", warning)
		}
	case err == nil:
		diags.AddError("Unable to Delete "+noun, fmt.Sprintf("%s\n\n%s\n\nRemove what is in the way, then destroy again.",
			last.Status.Message, told.tell(last)))
	default:
		reportEnd(diags, "Delete", last, told, err)
	}
}

// appendWriteError says of a write that met another one what to do about it.
func appendWriteError(diags *diag.Diagnostics, verb string, err error) {
	if !errors.Is(err, hubapi.ErrBusy) && !errors.Is(err, hubapi.ErrConflict) {
		tfkit.AppendError(diags, verb, noun, err)
		return
	}
	var detail diag.Diagnostics
	tfkit.AppendError(&detail, verb, noun, err)
	diags.AddError(fmt.Sprintf("Unable to %s %s", verb, noun), "Another apply is changing this cluster, or has changed it since this "+
		"plan was made. Nothing was done. Wait until the other one has finished, then plan again.\n\n"+detail[0].Detail())
}
