package hub

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// followLinks listens over every link while it lasts, until the context ends.
func (h *Hub) followLinks(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	followed := map[uint64]bool{}
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
		select {
		case <-changed:
		case <-ctx.Done():
			return group.Wait()
		}
	}
}

// follow listens over one link, and has the gateway given what is unfinished. It ends without an error when the link does.
func (h *Hub) follow(ctx context.Context, link Link) error {
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(link.Life, cancel)
	defer stop()
	if link.Resumes {
		h.resumes.add(link)
	}
	err := h.listen(held, link)
	if held.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}
