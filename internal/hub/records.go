package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// document is a record with its spec and status decoded.
type document[S, T any] struct {
	*store.Record
	Spec   S
	Status T
}

type (
	accountDoc = document[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus]
	poolDoc    = document[hubapi.IPPoolSpec, hubapi.IPPoolStatus]
	clusterDoc = document[cluster.Spec, hubapi.ClusterStatus]
)

// nouns are what people call the kinds.
var nouns = map[store.Kind]string{
	store.KindGateway:      "gateway",
	store.KindCloudAccount: "cloud account",
	store.KindIPPool:       "address pool",
	store.KindCluster:      "cluster",
}

// resources are Terraform's names for the kinds, for hints.
var resources = map[store.Kind]string{
	store.KindGateway:      "palette_gateway",
	store.KindCloudAccount: "palette_cloud_account",
	store.KindIPPool:       "palette_ip_pool",
	store.KindCluster:      "palette_vmware_cluster",
}

func decode[S, T any](r *store.Record) (*document[S, T], error) {
	d := &document[S, T]{Record: r}
	if err := json.Unmarshal(r.SpecJSON, &d.Spec); err != nil {
		return nil, fmt.Errorf("decoding the spec of %s %s: %w", nouns[r.Kind], r.ID, err)
	}
	if err := json.Unmarshal(r.StatusJSON, &d.Status); err != nil {
		return nil, fmt.Errorf("decoding the status of %s %s: %w", nouns[r.Kind], r.ID, err)
	}
	return d, nil
}

// encode brings spec and status into the record, ready to be committed.
func (d *document[S, T]) encode() (*store.Record, error) {
	var err error
	if d.SpecJSON, err = json.Marshal(d.Spec); err != nil {
		return nil, fmt.Errorf("encoding a spec: %w", err)
	}
	if d.StatusJSON, err = json.Marshal(d.Status); err != nil {
		return nil, fmt.Errorf("encoding a status: %w", err)
	}
	return d.Record, nil
}

func (d *document[S, T]) meta() hubapi.Meta {
	return hubapi.Meta{
		ID: d.ID, Project: d.Project, Name: d.Name,
		Generation: d.Generation, ObservedGeneration: d.ObservedGeneration, Revision: d.Revision,
		CreatedAt: d.CreatedAt, DeletedAt: d.DeletedAt,
	}
}

// next raises the generation to one that was never given out.
func (d *document[S, T]) next() {
	d.LastGeneration = max(d.LastGeneration, d.Generation) + 1
	d.Generation = d.LastGeneration
}

// newDocument makes a document that the store does not have yet.
func newDocument[S, T any](kind store.Kind, project, id, name string, now time.Time) *document[S, T] {
	return &document[S, T]{Record: &store.Record{Kind: kind, ID: id, Project: project, Name: name, CreatedAt: now.UTC()}}
}

// load returns a document of the project; in another project it does not exist.
func load[S, T any](ctx context.Context, s store.Records, kind store.Kind, project, id string) (*document[S, T], error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	r, err := s.Get(ctx, kind, id)
	if errors.Is(err, store.ErrNoRecord) || (err == nil && r.Project != project) {
		return nil, notFound("there is no %s %s in project %s", nouns[kind], id, project)
	}
	if err != nil {
		return nil, err
	}
	return decode[S, T](r)
}

// list returns the documents that pass the filter.
func list[S, T any](ctx context.Context, s store.Records, kind store.Kind, f store.Filter) ([]*document[S, T], error) {
	records, err := s.List(ctx, kind, f)
	if err != nil {
		return nil, err
	}
	docs := make([]*document[S, T], 0, len(records))
	for _, r := range records {
		d, err := decode[S, T](r)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// find returns the document that a write is about: the one with the id, or, on create, the one with the name. It is nil
// when a new one is to be made.
func find[S, T any](
	ctx context.Context, s store.Records, kind store.Kind, project, id, name string, create bool,
) (*document[S, T], error) {
	d, err := load[S, T](ctx, s, kind, project, id)
	if err == nil || !errors.Is(err, hubapi.ErrNotFound) || !create {
		return d, err
	}
	named, err := list[S, T](ctx, s, kind, store.Filter{Project: project, Name: name})
	if err != nil || len(named) == 0 {
		return nil, err
	}
	return named[0], nil
}

// maxTries bounds how often a change is made anew because the record was written in between.
const maxTries = 50

// change reads a document, changes it and writes it, again when somebody else wrote in between. The function tells
// whether there is anything to write.
func change[S, T any](
	ctx context.Context, s store.Records, kind store.Kind, project, id string, fn func(*document[S, T]) bool,
) (*document[S, T], error) {
	for range maxTries {
		d, err := load[S, T](ctx, s, kind, project, id)
		if err != nil {
			return nil, err
		}
		if !fn(d) {
			return d, nil
		}
		r, err := d.encode()
		if err != nil {
			return nil, err
		}
		if err := s.Commit(ctx, store.Batch{Put: []*store.Record{r}}); err == nil {
			return d, nil
		} else if !errors.Is(err, store.ErrStale) {
			return nil, err
		}
	}
	return nil, store.ErrStale
}

// same tells whether two specs are the same on the wire.
func same[S any](a, b S) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func checkID(id string) error {
	// Parse takes other forms too; only one form is an id, so that no two ids are the same.
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return hubapi.NewProblem(hubapi.CodeInvalid, "%q is not an id (a UUID in lower case)", truncate(id))
	}
	return nil
}

const maxName = 128

func checkName(name string) error {
	bad := name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) ||
		strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl)
	if bad {
		return invalid("/name",
			"a name has 1 to %d characters, none of them a control character, and no space at its ends", maxName)
	}
	return nil
}

func truncate(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 64)], "?")
}
