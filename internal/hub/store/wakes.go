package store

import (
	"context"
	"sync"
)

const (
	// wakeAll is the topic of what may concern everybody.
	wakeAll = ""
	// maxPendingWakes bounds what is kept for a reader that is slow; beyond that it is told to look at everything.
	maxPendingWakes = 1024
)

// wakes hands topics to all that listen in this process. A topic that is not read yet is not added again.
type wakes struct {
	mu      sync.Mutex
	readers map[*wakeReader]struct{}
}

type wakeReader struct {
	pending map[string]struct{}
	order   []string
	more    chan struct{} // holds a token while something is pending
}

func newWakes() *wakes { return &wakes{readers: map[*wakeReader]struct{}{}} }

// publish gives a topic to every reader, without waiting for any.
func (w *wakes) publish(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.readers {
		r.add(topic)
	}
}

func (r *wakeReader) add(topic string) {
	if _, known := r.pending[topic]; known {
		return
	}
	if len(r.order) == maxPendingWakes {
		clear(r.pending)
		r.order = r.order[:0]
		topic = wakeAll
	}
	r.pending[topic] = struct{}{}
	r.order = append(r.order, topic)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (w *wakes) take(r *wakeReader) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	topics := r.order
	r.order = nil
	clear(r.pending)
	return topics
}

// subscribe returns the topics published from now on. The channel is closed when the context ends or the store is closed.
func (w *wakes) subscribe(ctx context.Context, closed <-chan struct{}) <-chan string {
	r := &wakeReader{pending: map[string]struct{}{}, more: make(chan struct{}, 1)}
	w.mu.Lock()
	w.readers[r] = struct{}{}
	w.mu.Unlock()
	topics := make(chan string)
	go func() {
		defer close(topics)
		defer w.unsubscribe(r)
		for {
			select {
			case <-r.more:
			case <-ctx.Done():
				return
			case <-closed:
				return
			}
			for _, topic := range w.take(r) {
				select {
				case topics <- topic:
				case <-ctx.Done():
					return
				case <-closed:
					return
				}
			}
		}
	}()
	return topics
}

func (w *wakes) unsubscribe(r *wakeReader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.readers, r)
}
