package tunnel

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandshakesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandshakes(2)
		enter := func() func() {
			t.Helper()
			leave, err := h.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		first, second := enter(), enter()
		start := time.Now()
		if _, err := h.enter(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("a third handshake got %v, want %v", err, ErrBusy)
		}
		if waited := time.Since(start); waited != h.patience {
			t.Errorf("it was told after %s, want %s", waited, h.patience)
		}
		entered := make(chan func())
		go func() { entered <- enter() }()
		synctest.Wait()
		select {
		case <-entered:
			t.Error("a third handshake was let in beside two")
		default:
		}
		first()
		(<-entered)()
		second()
		if h.waiting.Load() != 0 || len(h.places) != 0 {
			t.Errorf("when all are gone there are %d waiting and %d inside", h.waiting.Load(), len(h.places))
		}
	})
}

func TestHandshakesHaveLittleRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandshakes(1)
		leave, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range h.room {
			go func() { _, _ = h.enter(ctx) }()
		}
		synctest.Wait()
		start := time.Now()
		if _, err := h.enter(t.Context()); !errors.Is(err, ErrBusy) || time.Since(start) != 0 {
			t.Errorf("when the room is full: %v after %s, want %v at once", err, time.Since(start), ErrBusy)
		}
		cancel()
		synctest.Wait()
		leave()
		if h.waiting.Load() != 0 || len(h.places) != 0 {
			t.Errorf("when all are gone there are %d waiting and %d inside", h.waiting.Load(), len(h.places))
		}
	})
}

func TestNoHandshakesLetEverybodyIn(t *testing.T) {
	var h *Handshakes
	for range 100 {
		if _, err := h.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
