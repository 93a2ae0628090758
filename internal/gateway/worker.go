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

	mu         sync.Mutex
	assignment gatewayapi.Assignment
	superseded chan struct{} // closed when a newer assignment has come
}

// assign starts work on a cluster, or gives the worker that is at it a newer assignment. What is in flight is finished
// first; then the new assignment is compared with the world as it is.
func (g *Gateway) assign(_ context.Context, a gatewayapi.Assignment) (none, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return none{}, &hubapi.Problem{
			Status: http.StatusServiceUnavailable, Code: hubapi.CodeUnreachable, Title: "Shutting down",
			Detail: errClosed.Error(), Hint: "Apply again in a moment.",
		}
	}
	if err := g.pools.learn(a.Pools); err != nil {
		return none{}, err
	}
	if w, ok := g.workers[a.ID]; ok {
		return none{}, w.supersede(a)
	}
	w := &worker{
		gateway: g, assignment: a, superseded: make(chan struct{}),
		log: g.log.With("cluster_id", a.ID, "cluster", a.Spec.Name),
	}
	g.workers[a.ID] = w
	g.running.Go(func() { w.run(g.ctx) })
	return none{}, nil
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

func (w *worker) run(ctx context.Context) {
	for {
		assignment, superseded := w.current()
		w.log.InfoContext(ctx, "working on cluster", "generation", assignment.Generation, "deleting", assignment.Deleting)
		r := newReconcile(w, assignment, superseded)
		r.run(ctx)
		if ctx.Err() != nil || !r.again && w.retire(assignment.Generation) {
			return
		}
	}
}

// retire ends the worker unless a newer assignment has come.
func (w *worker) retire(generation int64) bool {
	w.gateway.mu.Lock()
	defer w.gateway.mu.Unlock()
	if assignment, _ := w.current(); assignment.Generation != generation {
		return false
	}
	assignment, _ := w.current()
	delete(w.gateway.workers, assignment.ID)
	return true
}
