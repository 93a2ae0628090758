package sessions

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

const (
	// recheckEvery is how often all tunnels are looked at where another instance may have shut somebody out: a wake-up that
	// was lost is made good by it.
	recheckEvery = time.Second
	// recheckAlone is the same for the only instance, which knows by itself.
	recheckAlone = 10 * time.Second
	// rewatch is how long is waited before wake-ups are asked for again.
	rewatch = time.Second
)

// watch cuts the tunnels of those that were shut out, wherever that was done, until the context ends.
func (s *Sessions) watch(ctx context.Context) error {
	for {
		err := s.watchOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.WarnContext(ctx, "wake-ups interrupted", "error", err)
		if err := pause(ctx, rewatch); err != nil {
			return err
		}
	}
}

var errWakesEnded = errors.New("the store sends no more wake-ups")

func (s *Sessions) watchOnce(ctx context.Context) error {
	topics, err := s.store.Wakes(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(recheckEvery)
	defer ticker.Stop()
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case topic, ok := <-topics:
			if !ok {
				return errWakesEnded
			}
			if id, ok := roster.FromTopic(topic); ok {
				s.Recheck(id)
			}
			if topic != "" {
				continue
			}
		case <-ticker.C:
			s.sources.forget(s.now())
			if s.instances.alone() && time.Since(looked) < recheckAlone {
				continue
			}
		}
		looked = time.Now()
		s.recheckAll(ctx)
	}
}

// Recheck implements hub.GatewayDirectory.
func (s *Sessions) Recheck(id string) {
	members, _ := s.registry.members(id)
	if len(members) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.life, verifyLimit)
	defer cancel()
	for _, l := range members {
		if err := s.allowed(ctx, l.id); errors.Is(err, errShutOut) {
			s.cut(ctx, l, err)
		}
	}
	s.registry.wake(id)
}

// recheckAll looks at all tunnels with one look at the records.
func (s *Sessions) recheckAll(ctx context.Context) {
	all := s.registry.all()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	gateways, err := roster.Gateways(ctx, s.store, store.Filter{})
	if err != nil {
		s.log.WarnContext(ctx, "not looked at whether gateways were shut out", "error", err)
		return
	}
	kept := map[string]*roster.Gateway{}
	for _, g := range gateways {
		kept[g.ID] = g
	}
	for _, l := range all {
		if err := lets(kept[l.id.Gateway], l.id); err != nil {
			s.cut(ctx, l, err)
		}
	}
}

// cut ends a tunnel whose replica is not let in any more.
func (s *Sessions) cut(ctx context.Context, l *live, why error) {
	s.log.WarnContext(ctx, "tunnel cut", "gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "reason", why)
	_ = l.tunnel.Close() // Its end is seen where it is kept.
	s.registry.remove(l)
}

// each does something for every tunnel, a few at a time.
func each(ctx context.Context, all []*live, atOnce int, do func(context.Context, *live)) {
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, atOnce)
	for _, l := range all {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		group.Go(func() {
			defer func() { <-slots }()
			do(ctx, l)
		})
	}
}
