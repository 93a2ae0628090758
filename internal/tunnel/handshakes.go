package tunnel

import (
	"context"
	"sync/atomic"
	"time"
)

// Handshakes bounds how many handshakes a hub does at the same time, and how many more wait for their turn. A thousand
// gateways that come back at once are taken in one after the other; what is above both is told to come back later. How many of
// them one address may have is for the caller to bound, who knows which address to believe.
type Handshakes struct {
	places   chan struct{}
	waiting  atomic.Int64
	room     int64
	patience time.Duration
}

// NewHandshakes allows so many handshakes at once, and sixteen times as many to wait for a few seconds.
func NewHandshakes(atOnce int) *Handshakes {
	return &Handshakes{places: make(chan struct{}, atOnce), room: 16 * int64(atOnce), patience: 5 * time.Second}
}

// enter waits for a turn; who has entered leaves. Nil lets everybody in at once.
func (h *Handshakes) enter(ctx context.Context) (leave func(), err error) {
	if h == nil {
		return func() {}, nil
	}
	select {
	case h.places <- struct{}{}:
		return h.leave, nil
	default:
	}
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.room {
		return nil, ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	select {
	case h.places <- struct{}{}:
		return h.leave, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

func (h *Handshakes) leave() { <-h.places }
