package hub

import (
	"context"
	"sync"
	"time"
)

// feed wakes those who watch a cluster, and knows whether anybody does: a cluster that is watched while it is being
// worked on belongs to an apply that is running.
type feed struct {
	mu     sync.Mutex
	topics map[string]*topic
	// changed is closed and made anew when a cluster gets its first watcher or loses its last one.
	changed chan struct{}
}

type topic struct {
	watchers int
	changed  chan struct{} // closed and made anew at each change
}

func newFeed() *feed { return &feed{topics: map[string]*topic{}, changed: make(chan struct{})} }

// turn tells that what is watched has changed. The caller holds mu.
func (f *feed) turn() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// join counts a watcher of the cluster until leave is called.
func (f *feed) join(id string) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.topics[id]
	if !ok {
		t = &topic{changed: make(chan struct{})}
		f.topics[id] = t
		f.turn()
	}
	t.watchers++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		t.watchers--
		t.wake()
		if t.watchers == 0 {
			delete(f.topics, id)
			f.turn()
		}
	}
}

func (t *topic) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// changes returns a channel that is closed at the next change, and how many watch. It is nil when nobody does.
func (f *feed) changes(id string) (<-chan struct{}, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.topics[id]; ok {
		return t.changed, t.watchers
	}
	return nil, 0
}

// wake tells the cluster's watchers that there is something new.
func (f *feed) wake(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.topics[id]; ok {
		t.wake()
	}
}

// wakeAll tells all watchers to look.
func (f *feed) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.topics {
		t.wake()
	}
}

// watchedTopics returns what is watched, and a channel that is closed when that changes.
func (f *feed) watchedTopics() (topics []string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.topics {
		topics = append(topics, clusterTopic(id))
	}
	return topics, f.changed
}

// watched tells whether anybody watches the cluster and goes on watching for the grace: who has just stopped may not
// have been noticed yet.
func (f *feed) watched(ctx context.Context, id string, grace time.Duration) bool {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		changed, watchers := f.changes(id)
		if watchers == 0 {
			return false
		}
		select {
		case <-changed:
		case <-timer.C:
			return true
		case <-ctx.Done():
			return true
		}
	}
}
