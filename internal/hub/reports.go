package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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
	// reportsAhead bounds how many wait for that, for each gateway.
	reportsAhead = 16
)

// listener listens to one gateway, over one link.
type listener struct {
	hub    *Hub
	link   Link
	client *gatewayapi.Client
	cursor store.Cursor
	// boot is the gateway's life as this hub has seen it; "" before the first report.
	boot string
}

// listen keeps what one gateway reports until the context ends, across streams that break.
func (h *Hub) listen(ctx context.Context, link Link) error {
	l := &listener{hub: h, link: link, client: gatewayapi.NewClient(link.Transport)}
	for wait := listenWaitMin; ; wait = min(2*wait, listenWaitMax) {
		began := time.Now()
		err := l.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.WarnContext(ctx, "gateway's reports interrupted", "gateway_id", link.Gateway, "error", err)
		if time.Since(began) > listenHeld {
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

// connect reads one stream to its end. Reports are read while earlier ones are being written.
func (l *listener) connect(ctx context.Context) error {
	var err error
	if l.cursor, err = l.hub.store.Cursor(ctx, l.link.Gateway); err != nil {
		return err
	}
	boot, seq := l.cursor.Boot, l.cursor.Seq
	// What was kept may not have been acknowledged: the last stream may have ended in between, and the gateway may have
	// nothing more to report that would be.
	if boot != "" {
		if err := l.client.Ack(ctx, gatewayapi.Ack{Boot: boot, Seq: seq}); err != nil {
			return fmt.Errorf("acknowledging to gateway %s: %w", l.link.Gateway, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	in := intake{reports: make(chan gatewayapi.Report, reportsAhead)}
	err = l.client.Events(ctx, boot, seq, func(r gatewayapi.Report) error {
		select {
		case in.reports <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
		if in.begin() {
			group.Go(func() error { return l.keepAll(ctx, &in) })
		}
		return nil
	})
	// What has been read is kept, whatever became of the stream.
	if failed := group.Wait(); failed != nil {
		return failed
	}
	return err
}

// keepAll keeps what has been read until there is no more.
func (l *listener) keepAll(ctx context.Context, in *intake) error {
	for batch := in.take(); len(batch) > 0; batch = in.take() {
		if err := l.keep(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// intake is what has been read of a stream and is not kept yet. Somebody keeps it only while there is something: a hub has
// thousands of streams that are idle.
type intake struct {
	reports chan gatewayapi.Report

	mu   sync.Mutex
	kept bool // somebody sees to it
}

// begin tells whether nobody saw to it until now: the caller does.
func (in *intake) begin() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	begun := !in.kept
	in.kept = true
	return begun
}

// take returns what has arrived. When it is nothing, nobody sees to it any more.
func (in *intake) take() (batch []gatewayapi.Report) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(batch) < reportBatch {
		select {
		case r := <-in.reports:
			batch = append(batch, r)
			continue
		default:
		}
		break
	}
	in.kept = len(batch) > 0
	return batch
}

// keep writes reports durably, and then tells the gateway and those who watch.
func (l *listener) keep(ctx context.Context, reports []gatewayapi.Report) error {
	for range maxTries {
		k, err := newKeeping(ctx, l.hub, l.link, l.cursor)
		if err != nil {
			return err
		}
		for _, r := range reports {
			if err := k.take(ctx, r); err != nil {
				return err
			}
		}
		err = k.commit(ctx)
		if errors.Is(err, store.ErrStale) {
			continue // a client wrote one of the records in between
		}
		if err != nil {
			return fmt.Errorf("keeping the reports of gateway %s: %w", l.link.Gateway, err)
		}
		l.cursor = k.cursor
		k.announce(ctx)
		if err := l.noticeRestart(ctx); err != nil {
			return err
		}
		err = l.client.Ack(ctx, gatewayapi.Ack{Boot: l.cursor.Boot, Seq: l.cursor.Seq})
		if k.resigned && l.link.Resign != nil {
			l.link.Resign() // Whether it has heard that it was heard is of no importance: it has stopped.
		}
		if err != nil {
			return fmt.Errorf("acknowledging to gateway %s: %w", l.link.Gateway, err)
		}
		return nil
	}
	return fmt.Errorf("keeping the reports of gateway %s: %w", l.link.Gateway, store.ErrStale)
}

// noticeRestart gives a gateway that has been started anew the clusters that somebody is waiting for: it has forgotten
// them. One that resumes by itself gets a new link, and with it all that is unfinished.
func (l *listener) noticeRestart(ctx context.Context) error {
	before := l.boot
	l.boot = l.cursor.Boot
	if before == "" || before == l.boot || l.link.Resumes {
		return nil
	}
	h := l.hub
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{Project: l.link.Project})
	if err != nil {
		return err
	}
	for _, d := range docs {
		account, err := h.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
		if err != nil || account.Spec.GatewayID != l.link.Gateway || !unfinished(d) {
			continue
		}
		h.given.forget(d.ID)
		if watched, err := h.feed.watchedNow(ctx, d.ID); err != nil || !watched {
			continue // the next write, or the next watcher, gives it
		}
		if err := h.resume(ctx, d.Project, d.ID); err != nil {
			h.log.WarnContext(ctx, "cluster not resumed", "cluster_id", d.ID, "gateway_id", l.link.Gateway, "error", err)
		}
	}
	return nil
}
