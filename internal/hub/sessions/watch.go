package sessions

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// recheckEvery is how often all tunnels are looked at, where nothing was missed: news come before.
	recheckEvery = time.Second
	// maxChecking bounds how many gateways are looked at at once.
	maxChecking = 8
)

// watch cuts the tunnels of those that were shut out on another instance, until the context ends.
func (s *Sessions) watch(ctx context.Context) error {
	ticker := time.NewTicker(recheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			s.sources.forget(s.now())
			each(ctx, s.registry.all(), maxChecking, s.check)
		}
	}
}

// Recheck implements hub.GatewayDirectory.
func (s *Sessions) Recheck(id string) {
	ctx, cancel := context.WithTimeout(s.life, verifyLimit)
	defer cancel()
	members, _ := s.registry.members(id)
	for _, l := range members {
		s.check(ctx, l)
	}
	s.registry.wake(id)
}

// check cuts a tunnel whose replica is not let in any more.
func (s *Sessions) check(ctx context.Context, l *live) {
	if err := s.allowed(ctx, l.id); errors.Is(err, errShutOut) {
		s.log.WarnContext(ctx, "tunnel cut", "gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "error", err)
		_ = l.tunnel.Close() // Its end is seen where it is kept.
		s.registry.remove(l)
	}
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
