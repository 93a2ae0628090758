package sessions

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestLanes shows that one network cannot have all the places, whichever of its addresses it uses, and that a place comes back.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(5, 2, 1)
		enter := func(address string) func() {
			t.Helper()
			leave, ok := l.enter(t.Context(), address)
			if !ok {
				t.Fatalf("no place for %s", address)
			}
			return leave
		}
		refused := func(address string) {
			t.Helper()
			if _, ok := l.enter(t.Context(), address); ok {
				t.Fatalf("a place too many for %s", address)
			}
		}
		first := enter("2001:db8::1")
		second := enter("2001:db8::ffff")
		began := time.Now()
		refused("2001:db8::2") // waits in vain
		if time.Since(began) != lanePatience {
			t.Errorf("it waited for %s", time.Since(began))
		}
		waited := make(chan func())
		go func() {
			leave, _ := l.enter(context.Background(), "2001:db8::3")
			waited <- leave
		}()
		synctest.Wait()
		refused("2001:db8::4") // there is a wait already
		first()
		third := <-waited
		others := []func(){enter("10.0.0.1"), enter("::ffff:10.0.0.1"), enter("10.0.0.2")}
		refused("10.0.0.3") // five in all
		for _, leave := range append(others, second, third) {
			leave()
		}
		if l.total != 0 || len(l.lanes) != 0 {
			t.Errorf("%d are left over, in %d networks", l.total, len(l.lanes))
		}
		for i := range 5 {
			enter(fmt.Sprintf("10.0.1.%d", i))
		}
	})
}
