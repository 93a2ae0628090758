package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// testConsumedOnce has many use up one record, such as a pairing, while they write another one with the same batch. Exactly
// one does, through whichever instance.
func testConsumedOnce(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	instances := []store.Database{open(t, dsn), open(t, dsn)}
	for name, use := range map[string]func(r *store.Record) store.Batch{
		"by a write":   func(r *store.Record) store.Batch { return store.Batch{Put: []*store.Record{r}} },
		"by a removal": func(r *store.Record) store.Batch { return store.Batch{Remove: []*store.Record{r}} },
	} {
		t.Run(name, func(t *testing.T) {
			token := record(name, name)
			token.Kind = store.KindPairing
			commit(t, instances[0], store.Batch{Put: []*store.Record{token}})
			const many = 50
			var won atomic.Int32
			var group errgroup.Group
			for i := range many {
				group.Go(func() error {
					b := use(new(*token)) // everyone has read it before anyone used it
					b.Put = append(b.Put, record(fmt.Sprint(name, i), fmt.Sprint(name, i)))
					err := instances[i%len(instances)].Commit(t.Context(), b)
					if err == nil {
						won.Add(1)
					}
					if errors.Is(err, store.ErrStale) {
						return nil
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			made := 0
			for i := range many {
				if _, err := instances[0].Get(t.Context(), store.KindCluster, fmt.Sprint(name, i)); err == nil {
					made++
				}
			}
			if won.Load() != 1 || made != 1 {
				t.Errorf("%d used it and %d wrote what goes with that, want one", won.Load(), made)
			}
		})
	}
}

// testEventsInOrder has many write events of one cluster, through two instances, while somebody reads along as a watcher
// does: events become visible in order and without a gap.
func testEventsInOrder(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	instances := []store.Database{open(t, dsn), open(t, dsn)}
	const writers, times, each = 6, 15, 2
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			for i := range times {
				b := store.Batch{}
				for _, id := range []string{"a", "b"} {
					for range each {
						b.Events = append(b.Events, store.ClusterEvent{ClusterID: id, Project: "default", Event: hubapi.Event{
							Time: time.Unix(0, 0).UTC(), Message: fmt.Sprint(w, i),
						}})
					}
				}
				if w%2 == 1 { // so that two transactions lock in different orders
					b.Events = append(b.Events[each:], b.Events[:each]...)
				}
				if err := instances[w%len(instances)].Commit(t.Context(), b); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var seen []int64
	for len(seen) < writers*times*each {
		events, err := instances[0].Events(t.Context(), "default", "a", int64(len(seen)), 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			seen = append(seen, e.Seq)
			if e.Seq != int64(len(seen)) {
				t.Fatalf("event %d came as number %d", e.Seq, len(seen))
			}
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if rest, err := instances[1].Events(t.Context(), "default", "a", int64(len(seen)), 10); err != nil || len(rest) > 0 {
		t.Errorf("more events than were written: %v, %v", rest, err)
	}
	if other, err := instances[1].Events(t.Context(), "other", "a", 0, 10); err != nil || len(other) > 0 {
		t.Errorf("another project reads events: %v, %v", other, err)
	}
}

// testOddText keeps what databases are known to mangle or refuse.
func testOddText(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	odd := record("a", "Grüße ' \" \\ % _ $1 ? \u2028 \U0001F600")
	odd.SpecJSON = []byte(`{"b":1, "a":"\u0000",  "c":1e400}`)
	odd.Sealed = []byte{0, 0xff, '\\', 0}
	plain := record("b", "a")
	plain.Sealed = nil
	commit(t, s, store.Batch{Put: []*store.Record{odd, plain}})
	for _, want := range []*store.Record{odd, plain} {
		got, err := s.Get(t.Context(), store.KindCluster, want.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, name := range []string{"bad \xff", "bad \x00"} {
		if found, err := s.List(t.Context(), store.KindCluster, store.Filter{Name: name}); err != nil || len(found) > 0 {
			t.Errorf("a name that nobody can have: %v, %v", found, err)
		}
		if _, err := s.Get(t.Context(), store.KindCluster, name); !errors.Is(err, store.ErrNoRecord) {
			t.Errorf("an id that nobody can have: %v", err)
		}
		if events, err := s.Events(t.Context(), "default", name, 0, 1); err != nil || len(events) > 0 {
			t.Errorf("events of an id that nobody can have: %v, %v", events, err)
		}
	}
}
