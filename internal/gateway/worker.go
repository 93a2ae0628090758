package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// worker carries out one cluster, one assignment after the other, in one goroutine that ends when nothing is left to do.
type worker struct {
	gateway *Gateway
	log     *slog.Logger
	// term is the term of the lease that the worker works under.
	term *term
	left chan struct{} // closed when the worker is through

	mu         sync.Mutex
	assignment gatewayapi.Assignment
	superseded chan struct{} // closed when a newer assignment has come
}

// assign starts work on a cluster, or gives the worker that is at it a newer assignment. What is in flight is finished
// first; then the new assignment is compared with the world as it is.
func (g *Gateway) assign(ctx context.Context, a gatewayapi.Assignment) (none, error) {
	if err := g.mayAssign(a); err != nil {
		return none{}, err
	}
	for {
		left, err := g.tryAssign(a)
		if left == nil {
			return none{}, err
		}
		select {
		case <-left:
		case <-ctx.Done():
			return none{}, ctx.Err()
		}
	}
}

// mayAssign tells whether this gateway works on such a cluster at all.
func (g *Gateway) mayAssign(a gatewayapi.Assignment) error {
	if err := g.cfg.Identity.worksFor(a.Project); err != nil {
		return err
	}
	if g.cfg.Policy != nil && g.cfg.Policy.ReadOnly {
		return hubapi.NewProblem(hubapi.CodeForbidden, "the gateway's policy lets it read only").
			WithHint("Whoever runs the gateway can change read_only in its policy file.")
	}
	return nil
}

// tryAssign returns the channel to wait for when a worker of an earlier term is still finishing what it has in flight.
func (g *Gateway) tryAssign(a gatewayapi.Assignment) (left <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return nil, &hubapi.Problem{
			Status: http.StatusServiceUnavailable, Code: hubapi.CodeUnreachable, Title: "Shutting down",
			Detail: errClosed.Error(), Hint: "Apply again in a moment.",
		}
	}
	t := g.lease.held()
	if t == nil {
		return nil, errNotHolder
	}
	w, ok := g.workers[a.ID]
	if ok && w.term != t {
		return w.left, nil
	}
	if err := g.pools.learn(a.Pools); err != nil {
		return nil, err
	}
	if ok {
		return nil, w.supersede(a)
	}
	w = &worker{
		gateway: g, term: t, assignment: a, superseded: make(chan struct{}), left: make(chan struct{}),
		log: g.log.With("cluster_id", a.ID, "cluster", a.Spec.Name),
	}
	g.workers[a.ID] = w
	g.running.Go(w.run)
	return nil, nil
}

func (w *worker) supersede(a gatewayapi.Assignment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.Generation < w.assignment.Generation {
		return &hubapi.Problem{
			Status: http.StatusConflict, Code: hubapi.CodeConflict, Title: "Assignment is stale",
			Detail: fmt.Sprintf("the gateway works on generation %d of the cluster, this is %d",
				w.assignment.Generation, a.Generation),
		}
	}
	if a.Generation == w.assignment.Generation {
		return nil
	}
	// What the worker has made since the hub wrote the assignment is newer than the hub's copy.
	if len(a.SealedSecrets) == 0 {
		a.SealedSecrets = w.assignment.SealedSecrets
	}
	if len(a.Status.FoldersCreated) == 0 {
		a.Status.FoldersCreated = w.assignment.Status.FoldersCreated
	}
	w.assignment = a
	close(w.superseded)
	w.superseded = make(chan struct{})
	return nil
}

func (w *worker) current() (gatewayapi.Assignment, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.assignment, w.superseded
}

// keep remembers what must not be lost when the next assignment comes before the hub's copy is up to date.
func (w *worker) keep(change func(*gatewayapi.Assignment)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.assignment)
}

// mayWork tells why the worker may not change anything now, if so.
func (w *worker) mayWork() error { return w.gateway.lease.check(w.term) }

// run ends with the term. When only the lease has lapsed, it waits for it and begins anew.
func (w *worker) run() {
	defer w.leave()
	for {
		ctx, err := w.gateway.lease.await(w.term)
		if err != nil {
			return
		}
		assignment, superseded := w.current()
		w.log.InfoContext(ctx, "working on cluster", "generation", assignment.Generation, "deleting", assignment.Deleting)
		r := newReconcile(w, assignment, superseded)
		r.run(ctx)
		if ctx.Err() == nil && !r.again && w.retire(assignment.Generation) {
			return
		}
	}
}

// retire ends the worker unless a newer assignment has come.
func (w *worker) retire(generation int64) bool {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	assignment, _ := w.current()
	if assignment.Generation != generation {
		return false
	}
	delete(w.gateway.workers, assignment.ID)
	return true
}

// leave makes room for a worker of another term.
func (w *worker) leave() {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	if assignment, _ := w.current(); w.gateway.workers[assignment.ID] == w {
		delete(w.gateway.workers, assignment.ID)
	}
	close(w.left)
}
