package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

const (
	// attendEvery is how often a hub with watchers says so to its other instances; without that for attendFor it has none.
	attendEvery = 2 * time.Second
	attendFor   = 3 * attendEvery
	// attendTimeout bounds saying so when the hub goes down.
	attendTimeout = 2 * time.Second
	// clusterTopic begins the topics on which the instances wake each other for a cluster.
	clusterTopic = "cluster/"
)

// feed wakes those who watch a cluster, and knows whether anybody does, here or at another instance of the hub: a cluster
// that is watched while it is being worked on belongs to an apply that is running.
type feed struct {
	peers    store.Peers
	instance string
	mu       sync.Mutex
	topics   map[string]*topic
	attend   chan struct{} // holds a token when what is watched has changed
}

type topic struct {
	watchers int
	changed  chan struct{} // closed and made anew at each change
}

func newFeed(peers store.Peers) *feed {
	return &feed{
		peers: peers, instance: uuid.NewString(), topics: map[string]*topic{}, attend: make(chan struct{}, 1),
	}
}

// run listens to the other instances, and tells them what is watched here, until the context ends.
func (f *feed) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.hear(ctx) })
	group.Go(func() error { return f.tell(ctx) })
	return group.Wait()
}

func (f *feed) hear(ctx context.Context) error {
	topics, err := f.peers.Wakes(ctx)
	if err != nil {
		return fmt.Errorf("listening to other instances: %w", err)
	}
	f.wakeAll() // for what came before it was listened for
	for name := range topics {
		if id, ok := strings.CutPrefix(name, clusterTopic); ok {
			f.wake(id)
		} else if name == "" {
			f.wakeAll()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("listening to other instances: %w", store.ErrClosed)
}

// tell says what is watched here. What cannot be said at the moment is said with the next beat.
func (f *feed) tell(ctx context.Context) error {
	beat := time.NewTicker(attendEvery)
	defer beat.Stop()
	told := false
	for {
		select {
		case <-f.attend:
		case <-beat.C:
			if !told && !f.busy() {
				continue
			}
		case <-ctx.Done():
			if told {
				ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), attendTimeout)
				defer cancel()
				_ = f.peers.Attend(ending, f.instance, nil, attendFor) // else it runs out
			}
			return ctx.Err()
		}
		topics := f.watchedHere()
		err := f.peers.Attend(ctx, f.instance, topics, attendFor)
		told = err != nil || len(topics) > 0
	}
}

func (f *feed) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.topics) > 0
}

func (f *feed) watchedHere() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	topics := make([]string, 0, len(f.topics))
	for id := range f.topics {
		topics = append(topics, clusterTopic+id)
	}
	slices.Sort(topics)
	return topics
}

// join counts a watcher of the cluster until leave is called.
func (f *feed) join(id string) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.topics[id]
	if !ok {
		t = &topic{changed: make(chan struct{})}
		f.topics[id] = t
		f.tellSoon()
	}
	t.watchers++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		t.watchers--
		t.wake()
		if t.watchers == 0 {
			delete(f.topics, id)
			f.tellSoon()
		}
	}
}

func (f *feed) tellSoon() {
	select {
	case f.attend <- struct{}{}:
	default:
	}
}

func (t *topic) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change, and how many watch here. It is nil when nobody does.
func (f *feed) changes(id string) (<-chan struct{}, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.topics[id]; ok {
		return t.changed, t.watchers
	}
	return nil, 0
}

// wake tells the cluster's watchers here that there is something new.
func (f *feed) wake(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.topics[id]; ok {
		t.wake()
	}
}

func (f *feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.topics {
		t.wake()
	}
}

// watchedNow tells whether anybody watches the cluster, wherever.
func (f *feed) watchedNow(ctx context.Context, id string) (bool, error) {
	if _, watchers := f.changes(id); watchers > 0 {
		return true, nil
	}
	return f.peers.Attended(ctx, clusterTopic+id, f.instance)
}

// watched tells whether anybody watches the cluster and goes on watching for the grace: who has just stopped may not
// have been noticed yet. Who stops at another instance is noticed by asking again.
func (f *feed) watched(ctx context.Context, id string, grace time.Duration) (bool, error) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	again := time.NewTicker(grace / 5)
	defer again.Stop()
	for {
		changed, _ := f.changes(id)
		if now, err := f.watchedNow(ctx, id); err != nil || !now {
			return false, err
		}
		select {
		case <-changed:
		case <-again.C:
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return true, nil
		}
	}
}
