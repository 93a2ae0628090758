package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// maxGroup bounds how many writes share one transaction, and so one fsync.
const maxGroup = 64

// SQLite is the default store: one file, write-ahead log, each commit on disk before it returns. One goroutine writes;
// what waits to be written at the same time shares a transaction. Exactly one hub uses the file; commands may write to it
// while the hub runs.
type SQLite struct {
	reads  *sql.DB
	one    *sql.Stmt // reads one record; nothing is asked more often
	writes *sql.DB
	queue  chan *pendingWrite
	closed chan struct{}
	once   sync.Once
	owned  sync.WaitGroup // the writer and the poller

	locks    *locks
	presence *presence
	wakes    *wakes
	polling  sync.Once
}

// writeFunc writes within a transaction, all or, when it fails, nothing.
type writeFunc func(ctx context.Context, tx *sql.Tx) error

type pendingWrite struct {
	write writeFunc
	done  chan error
}

var _ Database = (*SQLite)(nil)

// ErrClosed is what a commit meets after Close.
var ErrClosed = errors.New("the store is closed")

// OpenSQLite opens the database in the file, makes it if it is missing, and brings it to this program's schema.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the database: %w", err)
	}
	// SQLite would make the file readable by others; the log files take over the mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	writes, err := openDB(path, 1, "_txlock=immediate&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, writes); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), writes.Close())
	}
	reads, err := openDB(path, 4, "_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writes.Close())
	}
	one, err := reads.PrepareContext(ctx, "SELECT "+recordColumns+" FROM records WHERE kind = ? AND id = ?")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), reads.Close(), writes.Close())
	}
	s := &SQLite{
		reads: reads, one: one, writes: writes, queue: make(chan *pendingWrite, maxGroup), closed: make(chan struct{}),
		locks: newLocks(), presence: newPresence(), wakes: newWakes(),
	}
	s.owned.Go(s.write)
	return s, nil
}

func openDB(path string, conns int, extra string) (*sql.DB, error) {
	dsn := (&url.URL{Scheme: "file", Path: path}).String() +
		"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&" + extra
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close waits for what is being written and closes the file.
func (s *SQLite) Close() error {
	s.once.Do(func() { close(s.closed) })
	s.owned.Wait()
	return errors.Join(s.one.Close(), s.reads.Close(), s.writes.Close())
}

const (
	prepareWait  = 20 * time.Millisecond
	prepareTries = 200
)

// prepare migrates the database. While another process switches the file to write-ahead logging or closes it, SQLite
// answers that it is busy without waiting for the busy timeout; so it is asked again.
func prepare(ctx context.Context, db *sql.DB) error {
	for try := 1; ; try++ {
		err := migrate(ctx, db)
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || try == prepareTries {
			return err
		}
		timer := time.NewTimer(prepareWait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// migrate applies the versioned files that the database has not seen. The transaction takes the write lock first, so
// two processes that start together do it one after the other.
func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := migrationsFor("sqlite")
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("locking the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit this does nothing
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	rest, err := missing(steps, version)
	if err != nil {
		return err
	}
	for _, step := range rest {
		if _, err := tx.ExecContext(ctx, step.text); err != nil {
			return fmt.Errorf("applying migration %s: %w", step.name, err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return fmt.Errorf("writing the schema's version: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing migrations: %w", err)
	}
	return nil
}

const recordColumns = `kind, id, project, name, v, spec, status, sealed,
	generation, observed_generation, last_generation, revision, created_at, deleted_at`

// Get implements Records.
func (s *SQLite) Get(ctx context.Context, kind Kind, id string) (*Record, error) {
	rec, err := scanRecord(s.one.QueryRowContext(ctx, kind, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoRecord
	}
	return rec, err
}

// List implements Records.
func (s *SQLite) List(ctx context.Context, kind Kind, f Filter) ([]*Record, error) {
	rows, err := s.reads.QueryContext(ctx, "SELECT "+recordColumns+` FROM records
		WHERE kind = ?1 AND (?2 = '' OR project = ?2) AND (?3 = '' OR name = ?3) ORDER BY project, name`,
		kind, f.Project, f.Name)
	if err != nil {
		return nil, fmt.Errorf("listing records: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var records []*Record
	for rows.Next() {
		rec, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing records: %w", err)
	}
	return records, nil
}

func scanRecord(row interface{ Scan(dest ...any) error }) (*Record, error) {
	var r Record
	var version int
	var spec, status []byte
	var created int64
	var deleted sql.NullInt64
	err := row.Scan(&r.Kind, &r.ID, &r.Project, &r.Name, &version, &spec, &status, &r.Sealed,
		&r.Generation, &r.ObservedGeneration, &r.LastGeneration, &r.Revision, &created, &deleted)
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	if version > documentVersion {
		return nil, fmt.Errorf("%w: %s %s has version %d, this program knows %d; use the newer program",
			ErrNewerDocument, r.Kind, r.ID, version, documentVersion)
	}
	r.SpecJSON, r.StatusJSON = spec, status
	r.CreatedAt = time.Unix(0, created).UTC()
	if deleted.Valid {
		at := time.Unix(0, deleted.Int64).UTC()
		r.DeletedAt = &at
	}
	return &r, nil
}

// Commit implements Records.
func (s *SQLite) Commit(ctx context.Context, b Batch) error {
	err := s.do(ctx, func(ctx context.Context, tx *sql.Tx) error { return writeBatch(ctx, tx, b) })
	if err != nil {
		return err
	}
	b.written()
	for _, topic := range b.Wakes {
		s.wakes.publish(topic)
	}
	return nil
}

// do has the writer write. Once that is queued its outcome is waited for, whatever happens to the context: the caller
// must know whether it was written.
func (s *SQLite) do(ctx context.Context, write writeFunc) error {
	w := &pendingWrite{write: write, done: make(chan error, 1)}
	select {
	case <-s.closed:
		return ErrClosed
	default:
	}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-s.closed:
	}
	// The writer empties the queue before it ends; a write that came after that was not done.
	s.owned.Wait()
	select {
	case err := <-w.done:
		return err
	default:
		return ErrClosed
	}
}

// isTaken tells whether an insert or update met the unique index of names, or an existing id.
func isTaken(err error) (name, id bool) {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false, false
	}
	return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE, e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// Events implements Events.
func (s *SQLite) Events(
	ctx context.Context, project, clusterID string, after int64, limit int,
) ([]hubapi.Event, error) {
	rows, err := s.reads.QueryContext(ctx,
		"SELECT seq, body FROM events WHERE cluster = ? AND seq > ? AND project = ? ORDER BY seq LIMIT ?",
		clusterID, after, project, limit)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	return scanEvents(rows)
}

// Cursor implements Events.
func (s *SQLite) Cursor(ctx context.Context, gatewayID string) (Cursor, error) {
	c := Cursor{Gateway: gatewayID}
	row := s.reads.QueryRowContext(ctx, "SELECT boot, seq FROM cursors WHERE gateway = ?", gatewayID)
	if err := row.Scan(&c.Boot, &c.Seq); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("reading a gateway's cursor: %w", err)
	}
	return c, nil
}
