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
	// ErrUnavailable tells that the database does not answer at the moment. Where it is not said otherwise nothing was
	// written.
	ErrUnavailable = errors.New("the database does not answer")
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
	// Wakes are the topics that are woken once all of it is written, as by Peers.Wake but never lost.
	Wakes []string
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

// Settings are what a hub made once for itself and all its instances share.
type Settings interface {
	// Setting returns what was put under the name, or ErrNoRecord.
	Setting(ctx context.Context, name string) ([]byte, error)
	// PutSettingIfAbsent keeps the value durably unless there is one, and returns the one that is kept.
	PutSettingIfAbsent(ctx context.Context, name string, value []byte) (stored []byte, err error)
}

// Peers are what the instances of a hub on one database have between them. On a database that takes one hub only, these
// work inside its process.
type Peers interface {
	// Lock waits for the named lock. The caller calls unlock when done, if there was no error. It keeps those who mean well
	// out of each other's way; it is lost with the connection to the database, so what must never go wrong depends on the
	// revisions of records.
	Lock(ctx context.Context, name string) (unlock func(), err error)
	// Wake tells every reader of Wakes, in this and all other instances, that there is something new. It may be lost when
	// the database does not answer; Batch.Wakes are not.
	Wake(ctx context.Context, topic string)
	// Wakes returns the topics that are woken from now on, each soon and at least once; what came before has to be looked
	// for once it has returned. The empty topic stands for all of them: something may have been missed, or another program
	// has written. The channel is closed when the context ends or the store is closed.
	Wakes(ctx context.Context) (<-chan string, error)
	// Attend keeps for so long that the instance attends to these topics and no others.
	Attend(ctx context.Context, instance string, topics []string, ttl time.Duration) error
	// Attended tells whether any instance but one attends to the topic.
	Attended(ctx context.Context, topic, except string) (bool, error)
}

// Store is where a hub keeps everything.
type Store interface {
	Records
	Events
	Audits
	Settings
	Peers
}

// Database is an open store.
type Database interface {
	Store
	// Ping returns ErrUnavailable while the database does not answer.
	Ping(ctx context.Context) error
	Close() error
}
