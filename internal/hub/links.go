package hub

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// followLinks listens over every link while it lasts, until the context ends, and tells those who wait for a gateway when it
// has gone and come back.
func (h *Hub) followLinks(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	followed := map[uint64]bool{}
	away := newAbsences()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		links, changed := h.gateways.Links()
		now := map[uint64]bool{}
		for _, link := range links {
			now[link.Serial] = true
			if !followed[link.Serial] {
				group.Go(func() error { return h.follow(ctx, link) })
			}
		}
		followed = now
		back := away.update(links, time.Now())
		gone, next := away.due(time.Now(), h.connected)
		group.Go(func() error {
			h.tellWaiting(ctx, back, textBack)
			h.tellWaiting(ctx, gone, textAway)
			return nil
		})
		if next > 0 {
			timer.Reset(next)
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return group.Wait()
		}
	}
}

// follow listens over one link, and has the gateway given what is unfinished. It ends without an error when the link does.
func (h *Hub) follow(ctx context.Context, link Link) error {
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-link.Done:
			cancel()
		case <-held.Done():
		}
	}()
	if link.Resumes {
		h.resumes.add(link)
	}
	err := h.listen(held, link)
	if held.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// connected tells whether any replica of a gateway is connected to this instance of the hub.
func (h *Hub) connected(gateway string) bool {
	p, _ := h.gateways.Presence(gateway)
	return len(p.Replicas) > 0
}
