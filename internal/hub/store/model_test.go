package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// model is what a store should have: records by id.
type model map[string]store.Record

// outcome applies a batch the way a store must: in order, all or nothing.
func (m model) outcome(b store.Batch) (model, error) {
	next := maps.Clone(m)
	for _, r := range b.Put {
		old, exists := next[r.ID]
		if exists != (r.Revision > 0) || exists && (old.Revision != r.Revision || old.Project != r.Project) {
			return m, store.ErrStale
		}
		for _, other := range next {
			if other.ID != r.ID && other.Project == r.Project && other.Name == r.Name {
				return m, store.ErrNameTaken
			}
		}
		kept := *r
		kept.Revision++
		next[r.ID] = kept
	}
	for _, r := range b.Remove {
		if old, exists := next[r.ID]; !exists || old.Revision != r.Revision {
			return m, store.ErrStale
		}
		delete(next, r.ID)
	}
	return next, nil
}

func (m model) sorted() []*store.Record {
	var records []*store.Record
	for _, r := range m {
		records = append(records, &r)
	}
	slices.SortFunc(records, func(a, b *store.Record) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	return records
}

// testModel draws batches, of which many must be refused, and compares the store with the model after each.
func testModel(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	world := 0
	rapid.Check(t, func(rt *rapid.T) {
		world++ // every case has a kind of its own in the same database
		kind := store.Kind(fmt.Sprintf("kind-%d", world))
		m := model{}
		draw := func(label string) *store.Record {
			r := record(rapid.SampledFrom([]string{"1", "2", "3"}).Draw(rt, label+" id"),
				rapid.SampledFrom([]string{"B", "a", "ä"}).Draw(rt, label+" name"))
			r.Kind, r.Project = kind, rapid.SampledFrom([]string{"p", "q"}).Draw(rt, label+" project")
			r.Generation = rapid.Int64Range(0, 1<<62).Draw(rt, label+" generation")
			if old, exists := m[r.ID]; exists {
				r.Revision = old.Revision
				r.Project = old.Project
			}
			r.Revision = max(0, r.Revision+rapid.SampledFrom([]int64{0, 0, 0, 0, -1, 1}).Draw(rt, label+" revision"))
			return r
		}
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			var b store.Batch
			for range rapid.IntRange(0, 2).Draw(rt, "puts") {
				b.Put = append(b.Put, draw("put"))
			}
			for range rapid.IntRange(0, 1).Draw(rt, "removes") {
				b.Remove = append(b.Remove, draw("remove"))
			}
			next, want := m.outcome(b)
			if err := s.Commit(t.Context(), b); !errors.Is(err, want) {
				rt.Fatalf("got %v, want %v", err, want)
			}
			m = next
			got, err := s.List(t.Context(), kind, store.Filter{})
			if err != nil {
				rt.Fatal(err)
			}
			if diff := gocmp.Diff(m.sorted(), got); diff != "" {
				rt.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}
