package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	listenWaitMin = 100 * time.Millisecond
	listenWaitMax = 10 * time.Second
	// listenHeld is how long a stream must have held for the backoff to begin anew.
	listenHeld = 5 * time.Second
	// reportBatch bounds how many reports are kept with one commit.
	reportBatch = 64
)

// listen keeps what one gateway reports until the context ends, across lost connections.
func (h *Hub) listen(ctx context.Context, gatewayID string) error {
	l := &listener{hub: h, gateway: gatewayID}
	for wait := listenWaitMin; ; wait = min(2*wait, listenWaitMax) {
		began := h.now()
		err := l.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.WarnContext(ctx, "gateway's reports interrupted", "gateway_id", gatewayID, "error", err)
		if h.now().Sub(began) > listenHeld {
			wait = listenWaitMin
		}
		timer := time.NewTimer(rand.N(wait)) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// listener listens to one gateway.
type listener struct {
	hub     *Hub
	gateway string
	cursor  store.Cursor
	// boot is the gateway's life as this hub has seen it; "" before the first report.
	boot string
}

// connect reads one stream to its end. Reports are read while earlier ones are being written.
func (l *listener) connect(ctx context.Context) error {
	client, _, err := l.hub.gateway(l.gateway)
	if err != nil {
		return err
	}
	if l.cursor, err = l.hub.store.Cursor(ctx, l.gateway); err != nil {
		return err
	}
	boot, seq := l.cursor.Boot, l.cursor.Seq
	group, ctx := errgroup.WithContext(ctx)
	reports := make(chan gatewayapi.Report, reportBatch)
	group.Go(func() error {
		defer close(reports)
		return client.Events(ctx, boot, seq, func(r gatewayapi.Report) error {
			select {
			case reports <- r:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error {
		for first := range reports {
			if err := l.keep(ctx, client, collect(first, reports)); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// collect takes what else has arrived.
func collect(first gatewayapi.Report, more <-chan gatewayapi.Report) []gatewayapi.Report {
	batch := []gatewayapi.Report{first}
	for len(batch) < reportBatch {
		select {
		case r, ok := <-more:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// keep writes reports durably, and then tells the gateway and those who watch.
func (l *listener) keep(ctx context.Context, client *gatewayapi.Client, reports []gatewayapi.Report) error {
	for range maxTries {
		k := newKeeping(l.hub, l.cursor)
		for _, r := range reports {
			if err := k.take(ctx, r); err != nil {
				return err
			}
		}
		err := k.commit(ctx)
		if errors.Is(err, store.ErrStale) {
			continue // a client wrote one of the records in between
		}
		if err != nil {
			return fmt.Errorf("keeping the reports of gateway %s: %w", l.gateway, err)
		}
		l.cursor = k.cursor
		k.announce()
		if err := l.noticeRestart(ctx); err != nil {
			return err
		}
		if err := client.Ack(ctx, gatewayapi.Ack{Boot: l.cursor.Boot, Seq: l.cursor.Seq}); err != nil {
			return fmt.Errorf("acknowledging to gateway %s: %w", l.gateway, err)
		}
		return nil
	}
	return fmt.Errorf("keeping the reports of gateway %s: %w", l.gateway, store.ErrStale)
}

// noticeRestart gives a gateway that has been started anew the clusters that somebody is waiting for: it has forgotten
// them.
func (l *listener) noticeRestart(ctx context.Context) error {
	before := l.boot
	l.boot = l.cursor.Boot
	if before == "" || before == l.boot {
		return nil
	}
	h := l.hub
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{})
	if err != nil {
		return err
	}
	for _, d := range docs {
		account, err := h.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
		if err != nil || account.Spec.GatewayID != l.gateway || !unfinished(d) {
			continue
		}
		h.given.forget(d.ID)
		if watched, err := h.feed.watchedNow(ctx, d.ID); err != nil || !watched {
			continue // the next write, or the next watcher, gives it
		}
		if err := h.resume(ctx, d.Project, d.ID); err != nil {
			h.log.WarnContext(ctx, "cluster not resumed", "cluster_id", d.ID, "gateway_id", l.gateway, "error", err)
		}
	}
	return nil
}
