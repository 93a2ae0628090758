package hub

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// watchGrace is how long a writer waits for those to go who have just stopped watching.
	watchGrace = time.Second
	// assignTimeout bounds a write once it has begun; from then on it no longer depends on its client.
	assignTimeout = time.Minute
)

func (h *Hub) putCluster(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, body, o, err := readPut[hubapi.ClusterWrite](w, r)
	if err != nil {
		return answer{}, err
	}
	unlock, err := h.store.Lock(r.Context(), "cluster/"+project+"/"+body.Spec.Name)
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	for range maxTries {
		d, created, err := h.writeCluster(r.Context(), project, id, body.Spec, o)
		if errors.Is(err, store.ErrStale) {
			continue // a report came in between
		}
		if err != nil {
			return answer{}, err
		}
		return answer{status: statusOf(created), generation: d.Generation, body: clusterOf(d)}, nil
	}
	return answer{}, store.ErrStale
}

// mayAdopt tells why a create may not go on with the cluster that has the name; nil when it may: it never came to be, or
// it is what was asked for and nobody has come back to it since, so that the create's answer must have been lost.
func mayAdopt(d *clusterDoc, spec cluster.Spec) *hubapi.Problem {
	switch {
	case d.DeletedAt != nil:
		return deleting(d)
	case !d.Status.EverReady, same(d.Spec, spec) && !d.Status.Claimed:
		return nil
	default:
		return exists(d.Record)
	}
}

func deleting(d *clusterDoc) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeBusy, "cluster %q (%s) is being deleted", d.Name, d.ID).
		WithHint("Wait until it is gone, then apply again.")
}

func busy(d *clusterDoc) *hubapi.Problem {
	what := "updated"
	switch {
	case d.DeletedAt != nil:
		what = "deleted"
	case !d.Status.EverReady:
		what = "created"
	}
	return hubapi.NewProblem(hubapi.CodeBusy,
		"cluster %q (%s) is being %s by another apply, at generation %d", d.Name, d.ID, what, d.Generation).
		WithHint("Wait for the other apply to end, plan again, look, and apply again.")
}

// notBusy refuses to change a cluster while another apply is waiting for it.
func (h *Hub) notBusy(ctx context.Context, old *clusterDoc) error {
	if !unfinished(old) {
		return nil
	}
	watched, err := h.feed.watched(ctx, old.ID, watchGrace)
	if err == nil && watched {
		return busy(old)
	}
	return err
}

// writeCluster keeps what is asked and gives it to the gateway. The record is written first and taken back if the
// gateway does not take it: a crash in between leaves an unfinished record, and the next write gives that to the
// gateway.
func (h *Hub) writeCluster(
	ctx context.Context, project, id string, spec cluster.Spec, o hubapi.WriteOptions,
) (d *clusterDoc, created bool, err error) {
	old, err := find[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, project, id, spec.Name, o.Create)
	if err != nil {
		return nil, false, err
	}
	if err := mayWrite(old, spec, o); err != nil {
		return nil, false, err
	}
	problems, err := h.clusterProblems(ctx, project, old, spec)
	if err != nil {
		return nil, false, err
	}
	if err := refusal(problems); err != nil {
		return nil, false, err
	}
	if old == nil {
		d = newDocument[cluster.Spec, hubapi.ClusterStatus](store.KindCluster, project, id, spec.Name, h.now())
		d.Status.Phase, d.Spec = hubapi.PhaseProvisioning, spec
		return d, true, h.keepAndAssign(ctx, d, nil)
	}
	if err := h.notBusy(ctx, old); err != nil {
		return nil, false, err
	}
	if same(old.Spec, spec) {
		switch {
		case unfinished(old):
			return old, false, h.assign(context.WithoutCancel(ctx), old)
		case o.Create && old.Status.Phase == hubapi.PhaseReady:
			return old, false, nil
		}
	}
	d = clone(old)
	d.Spec, d.Status.Phase = spec, hubapi.PhaseProvisioning
	if d.Status.EverReady {
		d.Status.Phase = hubapi.PhaseUpdating
	}
	return d, false, h.keepAndAssign(ctx, d, old)
}

// mayWrite checks a write's conditions against the cluster as it is.
func mayWrite(old *clusterDoc, spec cluster.Spec, o hubapi.WriteOptions) error {
	switch {
	case old == nil:
		return nil
	case o.Create:
		if refused := mayAdopt(old, spec); refused != nil {
			return refused
		}
		return nil
	case old.DeletedAt != nil:
		return deleting(old)
	case o.IfGeneration == 0 || o.IfGeneration == old.Generation:
		return nil
	case unfinished(old) && old.Generation == o.IfGeneration+1 && same(old.Spec, spec):
		return nil // the same write again, after its answer was lost
	default:
		return conflict(old.Record, o.IfGeneration)
	}
}

func clone(d *clusterDoc) *clusterDoc {
	c := *d
	c.Record = new(*d.Record)
	return &c
}

// keepAndAssign raises the generation, writes the document and gives it to the gateway. When the gateway does not take
// it the document becomes what it was; old is nil when it was not.
func (h *Hub) keepAndAssign(ctx context.Context, d, old *clusterDoc) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), assignTimeout)
	defer cancel()
	d.next()
	if err := h.keepReferring(ctx, d); err != nil {
		return err
	}
	mine := d.Generation
	err := h.assign(ctx, d)
	if err == nil {
		return nil
	}
	// The assignment may have used the time up.
	ctx, cancelUndo := context.WithTimeout(context.WithoutCancel(ctx), assignTimeout)
	defer cancelUndo()
	return errors.Join(err, h.takeBack(ctx, d, old, mine))
}

// keepReferring writes a cluster while nobody can delete what it refers to.
func (h *Hub) keepReferring(ctx context.Context, d *clusterDoc) error {
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return err
	}
	defer unlock()
	account, err := h.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
	if err != nil {
		return err
	}
	if d.Status.Origin == "" {
		d.Status.Origin = account.Spec.GatewayID
	}
	if d.DeletedAt == nil {
		for _, id := range poolIDs(d.Spec) {
			if _, err := h.loadPool(ctx, d.Project, id); err != nil {
				return err
			}
		}
	}
	record, err := d.encode()
	if err != nil {
		return err
	}
	err = h.store.Commit(ctx, store.Batch{Put: []*store.Record{record}})
	if errors.Is(err, store.ErrNameTaken) {
		return h.nameTaken(ctx, record)
	}
	return err
}

// assign gives a cluster to its gateway. The same generation may be given again.
func (h *Hub) assign(ctx context.Context, d *clusterDoc) error {
	assignment, err := h.assignment(ctx, d)
	if err != nil {
		return err
	}
	if err := h.give(ctx, d.Project, assignment); err != nil {
		return err
	}
	h.given.set(d.ID, d.Generation)
	return nil
}

// misdirectedPause is how long is waited before the holder of a lease is looked for again.
const misdirectedPause = 250 * time.Millisecond

// give hands an assignment to the replica that has the lease. Where another instance of the hub gives the lease it may have
// gone to another replica already: then that one is looked for, as long as a takeover takes.
func (h *Hub) give(ctx context.Context, project string, assignment gatewayapi.Assignment) error {
	gateway := assignment.Account.Spec.GatewayID
	for began := time.Now(); ; {
		client, err := h.worker(ctx, project, gateway)
		if err != nil {
			return err
		}
		err = client.Assign(ctx, assignment)
		if !misdirected(err) || time.Since(began) > workerWait {
			return fromGateway(gateway, err)
		}
		timer := time.NewTimer(misdirectedPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fromGateway(gateway, err)
		}
	}
}

// misdirected tells that a replica was asked for what only the one with the lease does.
func misdirected(err error) bool {
	p, ok := errors.AsType[*hubapi.Problem](err)
	return ok && p.Code == hubapi.CodeConflict && p.Status == http.StatusServiceUnavailable
}

// takeBack undoes a write that the gateway did not take, unless something newer was written. The number it had is never
// given to another spec: it may have reached the gateway all the same.
func (h *Hub) takeBack(ctx context.Context, d, old *clusterDoc, mine int64) error {
	if old == nil {
		err := h.store.Commit(ctx, store.Batch{Remove: []*store.Record{d.Record}})
		if errors.Is(err, store.ErrStale) {
			return nil // the gateway has reported on it: it did take it, and the next create goes on with it
		}
		return err
	}
	_, err := change(ctx, h.store, store.KindCluster, d.Project, d.ID, func(now *clusterDoc) bool {
		if now.Generation != mine {
			return false
		}
		now.Spec, now.Generation, now.DeletedAt = old.Spec, old.Generation, old.DeletedAt
		if now.Status.Phase == d.Status.Phase {
			now.Status.Phase = old.Status.Phase
		}
		return true
	})
	return err
}

// deleteCluster has the gateway begin to delete. A cluster that is being deleted already is only given to the gateway
// again.
func (h *Hub) deleteCluster(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx, id := r.Context(), r.PathValue("id")
	d, err := h.loadCluster(ctx, project, id)
	if err != nil {
		return answer{}, err
	}
	unlock, err := h.store.Lock(ctx, "cluster/"+project+"/"+d.Name)
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	for range maxTries {
		old, err := h.loadCluster(ctx, project, id)
		if err != nil {
			return answer{}, err
		}
		if err := h.beginDelete(ctx, old); !errors.Is(err, store.ErrStale) {
			return answer{}, err
		}
	}
	return answer{}, store.ErrStale
}

func (h *Hub) beginDelete(ctx context.Context, old *clusterDoc) error {
	if old.DeletedAt != nil && unfinished(old) {
		return h.assign(context.WithoutCancel(ctx), old)
	}
	if err := h.notBusy(ctx, old); err != nil {
		return err
	}
	d := clone(old)
	if d.DeletedAt == nil {
		d.DeletedAt = new(h.now().UTC())
	}
	d.Status.Phase = hubapi.PhaseDeleting
	return h.keepAndAssign(ctx, d, old)
}
