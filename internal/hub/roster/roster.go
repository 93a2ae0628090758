// Package roster owns what a hub keeps of gateways: which processes have been paired as which gateway and with which keys,
// which pairing tokens are open, and who has the lease. The hub's API and its tunnels both read and write it; what the words
// of the API look like and who may say them is not decided here.
package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// Document is a record with its spec and status decoded.
type Document[S, T any] struct {
	*store.Record
	Spec   S
	Status T
}

// maxTries bounds how often a change is made anew because the record was written in between.
const maxTries = 50

func decode[S, T any](r *store.Record) (*Document[S, T], error) {
	d := &Document[S, T]{Record: r}
	if err := json.Unmarshal(r.SpecJSON, &d.Spec); err != nil {
		return nil, fmt.Errorf("decoding the spec of %s %s: %w", r.Kind, r.ID, err)
	}
	if err := json.Unmarshal(r.StatusJSON, &d.Status); err != nil {
		return nil, fmt.Errorf("decoding the status of %s %s: %w", r.Kind, r.ID, err)
	}
	return d, nil
}

// Encode brings spec and status into the record, ready to be committed.
func (d *Document[S, T]) Encode() (*store.Record, error) {
	var err error
	if d.SpecJSON, err = json.Marshal(d.Spec); err != nil {
		return nil, fmt.Errorf("encoding the spec of %s %s: %w", d.Kind, d.ID, err)
	}
	if d.StatusJSON, err = json.Marshal(d.Status); err != nil {
		return nil, fmt.Errorf("encoding the status of %s %s: %w", d.Kind, d.ID, err)
	}
	return d.Record, nil
}

func load[S, T any](ctx context.Context, s store.Records, kind store.Kind, id string) (*Document[S, T], error) {
	r, err := s.Get(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	return decode[S, T](r)
}

func list[S, T any](ctx context.Context, s store.Records, kind store.Kind, f store.Filter) ([]*Document[S, T], error) {
	records, err := s.List(ctx, kind, f)
	if err != nil {
		return nil, err
	}
	docs := make([]*Document[S, T], 0, len(records))
	for _, r := range records {
		d, err := decode[S, T](r)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// ErrUnchanged is what a change returns when there is nothing to write.
var ErrUnchanged = errors.New("nothing to write")

// change reads a document, changes it and writes it, again when somebody else wrote in between. The topics are woken with
// the write.
func change[S, T any](
	ctx context.Context, s store.Records, kind store.Kind, id string, fn func(*Document[S, T]) error, topics ...string,
) (*Document[S, T], error) {
	for range maxTries {
		d, err := load[S, T](ctx, s, kind, id)
		if err != nil {
			return nil, err
		}
		err = fn(d)
		if errors.Is(err, ErrUnchanged) {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		r, err := d.Encode()
		if err != nil {
			return nil, err
		}
		if err := s.Commit(ctx, store.Batch{Put: []*store.Record{r}, Wakes: topics}); err == nil {
			return d, nil
		} else if !errors.Is(err, store.ErrStale) {
			return nil, err
		}
	}
	return nil, store.ErrStale
}
