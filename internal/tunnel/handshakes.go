package tunnel

import (
	"context"
	"sync/atomic"
	"time"
)

// Handshakes bounds how many handshakes a hub does at the same time, and how many more wait for their turn. A thousand
// gateways that come back at once are taken in one after the other; what is above both is told to come back later.
type Handshakes struct {
	slots    chan struct{}
	waiting  atomic.Int64
	room     int64
	patience time.Duration
}

// NewHandshakes allows so many handshakes at once, and sixteen times as many to wait for a few seconds.
func NewHandshakes(atOnce int) *Handshakes {
	return &Handshakes{slots: make(chan struct{}, atOnce), room: 16 * int64(atOnce), patience: 5 * time.Second}
}

// enter waits for a turn. The caller leaves when it has entered.
func (h *Handshakes) enter(ctx context.Context) error {
	if h == nil {
		return nil
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.room {
		h.waiting.Add(-1)
		return ErrBusy
	}
	defer h.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ErrBusy
	}
}

func (h *Handshakes) leave() {
	if h != nil {
		<-h.slots
	}
}
