// Package store owns what a hub keeps: documents with their revisions, events, and how far each gateway has been heard. Every
// write is a batch that is on disk whole or not at all. Only the hub uses it; no word of the API is decided here.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Kind is a kind of record.
type Kind string

// The kinds of record.
const (
	KindCloudAccount Kind = "cloud-account"
	KindIPPool       Kind = "ip-pool"
	KindCluster      Kind = "cluster"
	KindGateway      Kind = "gateway"
	KindPairing      Kind = "pairing"
	KindToken        Kind = "token"
	KindLease        Kind = "lease"
	KindInstance     Kind = "hub-instance"
)

// documentVersion is the form in which this program writes documents. One with a greater version is refused: what this
// program does not understand it would lose when it writes the document back.
const documentVersion = 1

// The errors of a store.
var (
	// ErrNoRecord tells that there is no such record.
	ErrNoRecord = errors.New("no such record")
	// ErrStale tells that a record has been written, made or removed since it was read.
	ErrStale = errors.New("the record has been changed in between")
	// ErrNameTaken tells that another record of the kind has the name in the project.
	ErrNameTaken = errors.New("the name is taken")
	// ErrNewerSchema tells that the database belongs to a newer version of the program.
	ErrNewerSchema = errors.New("the database was written by a newer version")
	// ErrNewerDocument tells that a record was written by a newer version of the program.
	ErrNewerDocument = errors.New("the record was written by a newer version")
)

// Record is a document with what the hub has to know of it. SpecJSON and StatusJSON belong to the kind.
type Record struct {
	Kind                 Kind
	ID, Project, Name    string
	SpecJSON, StatusJSON json.RawMessage
	// Sealed holds secrets that only a gateway can open.
	Sealed []byte
	// Generation counts writes of the spec; LastGeneration is the greatest number ever given out, including for writes
	// that were taken back, so that a gateway never sees one number with two specs.
	Generation, ObservedGeneration, LastGeneration int64
	// Revision is the one that was read; 0 is a record that is to be made. Commit raises it.
	Revision  int64
	CreatedAt time.Time
	DeletedAt *time.Time
}

// Filter narrows a list; empty fields do not.
type Filter struct{ Project, Name string }

// Cursor says how far a gateway's reports are kept.
type Cursor struct {
	Gateway, Boot string
	Seq           int64
}

// ClusterEvent is an event to be kept. The store numbers it.
type ClusterEvent struct {
	ClusterID, Project string
	Event              hubapi.Event
}

// Batch is what is written together or not at all.
type Batch struct {
	// Put makes or replaces records, Remove removes them; both only at the revision they carry.
	Put, Remove []*Record
	Events      []ClusterEvent
	Cursor      *Cursor
}

// Records are the hub's documents.
type Records interface {
	// Get returns a record, or ErrNoRecord.
	Get(ctx context.Context, kind Kind, id string) (*Record, error)
	// List returns records by project and name.
	List(ctx context.Context, kind Kind, f Filter) ([]*Record, error)
	// Commit writes a batch durably. It fails with ErrStale or ErrNameTaken, and then nothing is written.
	Commit(ctx context.Context, b Batch) error
}

// Events are what happened, and how far that is known.
type Events interface {
	// Events returns a cluster's events after the given number, at most limit, in order.
	Events(ctx context.Context, project, clusterID string, after int64, limit int) ([]hubapi.Event, error)
	// Prune removes the events of clusters that are gone which are older than the given time, and all but the newest keep
	// events of each cluster.
	Prune(ctx context.Context, before time.Time, keep int) error
	// Cursor returns how far a gateway's reports are kept; the zero place when none is.
	Cursor(ctx context.Context, gatewayID string) (Cursor, error)
}

// Store is where a hub keeps everything.
type Store interface {
	Records
	Events
}
