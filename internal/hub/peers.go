package hub

import (
	"context"
	"errors"
	"strings"
	"time"
)

const (
	// attendEvery is how often an instance says anew what is watched at it, and attendFor how long that counts.
	attendEvery = 5 * time.Second
	attendFor   = 15 * time.Second
	// attendLook is how often it is looked whether a cluster is still watched elsewhere.
	attendLook = 100 * time.Millisecond
	// wakesRetry is how long is waited before wake-ups are asked for again.
	wakesRetry = time.Second

	clusterPrefix = "cluster/"
)

// clusterTopic is the topic that is woken when something happened to a cluster, and that its watchers attend to.
func clusterTopic(id string) string { return clusterPrefix + id }

var errWakesEnded = errors.New("the store sends no more wake-ups")

// followWakes wakes those who watch a cluster here when another instance of the hub has kept something about it, until the
// context ends.
func (h *Hub) followWakes(ctx context.Context) error {
	for {
		err := h.wakesOnce(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.WarnContext(ctx, "wake-ups interrupted", "error", err)
		timer := time.NewTimer(wakesRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (h *Hub) wakesOnce(ctx context.Context) error {
	topics, err := h.store.Wakes(ctx)
	if err != nil {
		return err
	}
	h.feed.wakeAll() // What was kept before is not told any more.
	for topic := range topics {
		if topic == "" {
			h.feed.wakeAll()
		} else if id, ok := strings.CutPrefix(topic, clusterPrefix); ok {
			h.feed.wake(id)
		}
	}
	return errWakesEnded
}

// attend tells the other instances what is watched at this one, until the context ends.
func (h *Hub) attend(ctx context.Context) error {
	ticker := time.NewTicker(attendEvery)
	defer ticker.Stop()
	for {
		topics, changed := h.feed.watchedTopics()
		if err := h.store.Attend(ctx, h.instance, topics, attendFor); err != nil && ctx.Err() == nil {
			h.log.WarnContext(ctx, "other instances not told what is watched", "error", err)
		}
		select {
		case <-ctx.Done():
			// Those who watched here go elsewhere.
			_ = h.store.Attend(context.WithoutCancel(ctx), h.instance, nil, attendFor)
			return ctx.Err()
		case <-changed:
		case <-ticker.C:
		}
	}
}

// watched tells whether anybody watches the cluster, at any instance, and goes on watching for the grace.
func (h *Hub) watched(ctx context.Context, id string) bool {
	if h.feed.watched(ctx, id, watchGrace) {
		return true
	}
	if h.instance == "" {
		return false
	}
	end := time.Now().Add(watchGrace)
	for {
		attended, err := h.store.Attended(ctx, clusterTopic(id), h.instance)
		if err != nil {
			h.log.WarnContext(ctx, "not known whether a cluster is watched elsewhere", "cluster_id", id, "error", err)
			return true
		}
		if !attended || time.Now().After(end) {
			return attended
		}
		timer := time.NewTimer(attendLook)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return true
		}
	}
}
