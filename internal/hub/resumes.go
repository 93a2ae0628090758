package hub

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// resumes are links over which unfinished clusters are still to be given.
type resumes struct {
	mu      sync.Mutex
	waiting map[string]Link // by gateway
	more    chan struct{}   // holds a token while something waits
}

func newResumes() *resumes {
	return &resumes{waiting: map[string]Link{}, more: make(chan struct{}, 1)}
}

func (r *resumes) add(links ...Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, link := range links {
		if newer, ok := r.waiting[link.Gateway]; !ok || newer.Serial < link.Serial {
			r.waiting[link.Gateway] = link
		}
	}
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *resumes) take() map[string]Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	links := r.waiting
	r.waiting = map[string]Link{}
	return links
}

const (
	// resumeRetry is how long is waited before what could not be given is given again.
	resumeRetry = 2 * time.Second
	// maxResuming bounds how many clusters are given at once.
	maxResuming = 16
)

// resumeUnfinished gives gateways that have come what is unfinished, though nobody waits for it: a gateway that was started
// anew has forgotten it, another holder of the lease never had it. Those that come at the same time share one look at the
// records.
func (h *Hub) resumeUnfinished(ctx context.Context) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	var again []Link
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.resumes.more:
		case <-retry.C:
			h.resumes.add(again...)
			again = nil
			continue
		}
		failed := h.giveUnfinished(ctx, h.resumes.take())
		if len(failed) > 0 {
			again = append(again, failed...)
			retry.Reset(resumeRetry)
		}
	}
}

// giveUnfinished gives each gateway all that is unfinished, and returns the links over which that did not work.
func (h *Hub) giveUnfinished(ctx context.Context, links map[string]Link) []Link {
	all := slices.Collect(maps.Values(links))
	if len(all) == 0 {
		return nil
	}
	unfinished, err := h.unfinishedOf(ctx, links)
	if err != nil {
		h.log.WarnContext(ctx, "unfinished clusters not resumed", "error", err)
		return all
	}
	var mu sync.Mutex
	failed := map[string]Link{}
	group := errgroup.Group{}
	group.SetLimit(maxResuming)
	for _, one := range unfinished {
		group.Go(func() error {
			err := h.resumeOver(ctx, one.link, one.cluster)
			if err == nil {
				return nil
			}
			h.log.WarnContext(ctx, "cluster not resumed",
				"cluster_id", one.cluster.ID, "gateway_id", one.link.Gateway, "error", err)
			mu.Lock()
			defer mu.Unlock()
			failed[one.link.Gateway] = one.link
			return nil
		})
	}
	_ = group.Wait() // What failed is in the list.
	return slices.DeleteFunc(all, func(link Link) bool {
		_, again := failed[link.Gateway]
		return !again || ended(link)
	})
}

type unfinishedCluster struct {
	link    Link
	cluster *clusterDoc
}

func (h *Hub) unfinishedOf(ctx context.Context, links map[string]Link) ([]unfinishedCluster, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{})
	if err != nil {
		return nil, err
	}
	var found []unfinishedCluster
	for _, d := range docs {
		if !unfinished(d) {
			continue
		}
		account, err := h.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
		if errors.Is(err, hubapi.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		link, ok := links[account.Spec.GatewayID]
		if ok && (link.Project == "" || link.Project == d.Project) {
			found = append(found, unfinishedCluster{link, d})
		}
	}
	return found, nil
}

// resumeOver gives an unfinished cluster over a link once, though it was given before.
func (h *Hub) resumeOver(ctx context.Context, link Link, d *clusterDoc) error {
	if ended(link) {
		return nil // Its successor is waiting itself.
	}
	ctx, cancel := context.WithTimeout(ctx, assignTimeout)
	defer cancel()
	h.given.forget(d.ID)
	return h.resume(ctx, d.Project, d.ID)
}

func ended(link Link) bool {
	return link.Life.Err() != nil
}
