package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func record(id, name string) *store.Record {
	return &store.Record{
		Kind: store.KindCluster, ID: id, Project: "default", Name: name,
		SpecJSON: []byte(`{"name":"` + name + `"}`), StatusJSON: []byte(`{}`), Sealed: []byte{1, 2},
		Generation: 1, LastGeneration: 1, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
}

func commit(t *testing.T, s store.Store, b store.Batch) {
	t.Helper()
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func testReopen(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	want := record("a", "one")
	deleted := want.CreatedAt.Add(time.Hour)
	want.DeletedAt = &deleted
	event := hubapi.Event{Time: want.CreatedAt, Message: "hello"}
	cursor := store.Cursor{Gateway: "g", Boot: "b", Seq: 7}
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, store.Batch{
		Put: []*store.Record{want}, Cursor: &cursor,
		Events: []store.ClusterEvent{{ClusterID: "a", Project: "default", Event: event}},
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dsn)
	got, err := s.Get(t.Context(), store.KindCluster, "a")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("record: %v (-want +got):\n%s", err, diff)
	}
	events, err := s.Events(t.Context(), "default", "a", 0, 10)
	event.Seq = 1
	if diff := cmp.Diff([]hubapi.Event{event}, events); err != nil || diff != "" {
		t.Errorf("events: %v (-want +got):\n%s", err, diff)
	}
	if c, err := s.Cursor(t.Context(), "g"); err != nil || c != cursor {
		t.Errorf("cursor: %+v, %v", c, err)
	}
	if c, err := s.Cursor(t.Context(), "another"); err != nil || c != (store.Cursor{Gateway: "another"}) {
		t.Errorf("cursor of a gateway that has reported nothing: %+v, %v", c, err)
	}
}

func testClosed(t *testing.T, fresh func(testing.TB) string) {
	s, err := store.Open(t.Context(), fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	topics, err := s.Wakes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := s.Lock(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	unlock()
	for range topics { // until it is closed
	}
	if err := s.Commit(t.Context(), store.Batch{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed store has taken a commit: %v", err)
	}
	if _, err := s.Wakes(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed store wakes: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func testRules(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	a := record("a", "one")
	commit(t, s, store.Batch{Put: []*store.Record{a}})
	stale := *a
	commit(t, s, store.Batch{Put: []*store.Record{a}})
	missing := record("z", "z")
	missing.Revision = 4
	elsewhere := record("b", "one")
	elsewhere.Project = "other"
	for name, tc := range map[string]struct {
		batch store.Batch
		want  error
	}{
		"an old revision":                {store.Batch{Put: []*store.Record{&stale}}, store.ErrStale},
		"removing at an old revision":    {store.Batch{Remove: []*store.Record{&stale}}, store.ErrStale},
		"an id that exists":              {store.Batch{Put: []*store.Record{record("a", "two")}}, store.ErrStale},
		"a name that exists":             {store.Batch{Put: []*store.Record{record("d", "one")}}, store.ErrNameTaken},
		"a record that is gone":          {store.Batch{Put: []*store.Record{missing}}, store.ErrStale},
		"the name in another project":    {store.Batch{Put: []*store.Record{elsewhere}}, nil},
		"all or nothing: a good and":     {store.Batch{Put: []*store.Record{record("c", "three"), &stale}}, store.ErrStale},
		"nothing, which is all the same": {store.Batch{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Commit(t.Context(), tc.batch); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := s.Get(t.Context(), store.KindCluster, "c"); !errors.Is(err, store.ErrNoRecord) {
		t.Errorf("half of a batch was written: %v", err)
	}
	commit(t, s, store.Batch{Remove: []*store.Record{a}})
	if _, err := s.Get(t.Context(), store.KindCluster, "a"); !errors.Is(err, store.ErrNoRecord) {
		t.Errorf("a removed record is there: %v", err)
	}
	all, err := s.List(t.Context(), store.KindCluster, store.Filter{})
	if err != nil || len(all) != 1 || all[0].Project != "other" {
		t.Errorf("left: %+v, %v", all, err)
	}
}

// testConcurrent has many writers raise one counter by compare-and-swap while others write records of their own.
func testConcurrent(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	commit(t, s, store.Batch{Put: []*store.Record{record("a", "one")}})
	const writers, times = 8, 10
	var mu sync.Mutex
	collisions := 0
	group, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		group.Go(func() error {
			for i := range times {
				if err := raise(ctx, s, func() { mu.Lock(); collisions++; mu.Unlock() }); err != nil {
					return err
				}
				name := fmt.Sprintf("w%d-%d", w, i)
				if err := s.Commit(ctx, store.Batch{Put: []*store.Record{record(name, name)}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), store.KindCluster, "a")
	if err != nil || r.Generation != 1+writers*times || r.Revision != r.Generation {
		t.Errorf("generation %d, revision %d after %d raises (%d collisions): %v",
			r.Generation, r.Revision, writers*times, collisions, err)
	}
	if all, err := s.List(t.Context(), store.KindCluster, store.Filter{Project: "default"}); err != nil || len(all) != 1+writers*times {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func raise(ctx context.Context, s store.Store, collided func()) error {
	for {
		r, err := s.Get(ctx, store.KindCluster, "a")
		if err != nil {
			return err
		}
		r.Generation++
		err = s.Commit(ctx, store.Batch{Put: []*store.Record{r}})
		if !errors.Is(err, store.ErrStale) {
			return err
		}
		collided()
	}
}

func testOpenedByManyAtOnce(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	var group errgroup.Group
	for range 6 {
		group.Go(func() error {
			s, err := store.Open(t.Context(), dsn)
			if err != nil {
				return err
			}
			return s.Close()
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func testPrune(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	lives := record("lives", "lives")
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := store.Batch{Put: []*store.Record{lives}}
	for i := range 5 {
		for _, id := range []string{"lives", "gone-old", "gone-new"} {
			at := old
			if id == "gone-new" {
				at = old.Add(48 * time.Hour)
			}
			b.Events = append(b.Events, store.ClusterEvent{
				ClusterID: id, Project: "default", Event: hubapi.Event{Time: at, Message: fmt.Sprint(i)},
			})
		}
	}
	commit(t, s, b)
	if err := s.Prune(t.Context(), old.Add(24*time.Hour), 3); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"lives": 3, "gone-old": 0, "gone-new": 3} {
		events, err := s.Events(t.Context(), "default", id, 0, 10)
		if err != nil || len(events) != want {
			t.Errorf("%s has %d events, want %d: %v", id, len(events), want, err)
		}
		if want > 0 && events[0].Seq != 3 {
			t.Errorf("%s begins at %d, want 3", id, events[0].Seq)
		}
	}
}
