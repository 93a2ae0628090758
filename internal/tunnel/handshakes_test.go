package tunnel

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandshakesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandshakes(4)
		enter := func(remote string) func() {
			t.Helper()
			leave, err := h.enter(t.Context(), remote)
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		first, second := enter("192.0.2.1:1000"), enter("192.0.2.1:1001")
		start := time.Now()
		if _, err := h.enter(t.Context(), "192.0.2.1:1002"); !errors.Is(err, ErrBusy) {
			t.Errorf("a third handshake of the address got %v, want %v", err, ErrBusy)
		}
		if waited := time.Since(start); waited != h.patience {
			t.Errorf("it was told after %s, want %s", waited, h.patience)
		}
		others := []func(){enter("[2001:db8::1]:1"), enter("[2001:db8:0:1::1]:1")}
		entered := make(chan func())
		go func() { entered <- enter("198.51.100.1:1") }()
		synctest.Wait()
		select {
		case <-entered:
			t.Error("a fifth handshake was let in beside four")
		default:
		}
		first()
		(<-entered)()
		second()
		for _, leave := range others {
			leave()
		}
		if len(h.sources) != 0 || h.waiting != 0 || len(h.places) != 0 {
			t.Errorf("when all are gone there are %d sources, %d waiting and %d inside", len(h.sources), h.waiting, len(h.places))
		}
	})
}

func TestHandshakesHaveLittleRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandshakes(1)
		leave, err := h.enter(t.Context(), "192.0.2.1:1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range h.room {
			go func() { _, _ = h.enter(ctx, fmt.Sprintf("198.51.100.%d:1", i)) }()
		}
		synctest.Wait()
		start := time.Now()
		if _, err := h.enter(t.Context(), "203.0.113.1:1"); !errors.Is(err, ErrBusy) || time.Since(start) != 0 {
			t.Errorf("when the room is full: %v after %s, want %v at once", err, time.Since(start), ErrBusy)
		}
		cancel()
		synctest.Wait()
		leave()
		if len(h.sources) != 0 || h.waiting != 0 {
			t.Errorf("when all are gone there are %d sources and %d waiting", len(h.sources), h.waiting)
		}
	})
}

func TestNoHandshakesLetEverybodyIn(t *testing.T) {
	var h *Handshakes
	for range 100 {
		if _, err := h.enter(t.Context(), "192.0.2.1:1"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7/32", "[::ffff:192.0.2.7]:80": "192.0.2.7/32", "[2001:db8::7%eth0]:80": "2001:db8::/64",
		"": "invalid Prefix", "@": "invalid Prefix", "192.0.2.7": "invalid Prefix",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("the network of %q is %s, want %s", remote, got, want)
		}
	}
}
