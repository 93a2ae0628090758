package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// write is the one writer. It ends when the store is closed and the queue is empty.
func (s *SQLite) write() {
	for {
		select {
		case w := <-s.queue:
			s.writeGroup(s.collect(w))
		case <-s.closed:
			for {
				select {
				case w := <-s.queue:
					s.writeGroup(s.collect(w))
				default:
					return
				}
			}
		}
	}
}

// collect takes what else is waiting.
func (s *SQLite) collect(first *pendingWrite) []*pendingWrite {
	group := []*pendingWrite{first}
	for len(group) < maxGroup {
		select {
		case w := <-s.queue:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// writeGroup does the writes in one transaction, each below a savepoint of its own, so that one that fails does not take
// the others with it.
func (s *SQLite) writeGroup(group []*pendingWrite) {
	// The writer outlives every request, so no request's context may end its transaction.
	ctx := context.Background()
	results := make([]error, len(group))
	err := func() error {
		tx, err := s.writes.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("beginning to write: %w", err)
		}
		defer func() { _ = tx.Rollback() }() // after Commit this does nothing
		for i, w := range group {
			if results[i], err = writeSaved(ctx, tx, w.write); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("committing: %w", err)
		}
		return nil
	}()
	for i, w := range group {
		w.done <- errors.Join(err, results[i])
	}
}

// written tells the batch's records that they are now what the store has.
func (b Batch) written() {
	for _, r := range b.Put {
		r.Revision++
	}
}

func writeSaved(ctx context.Context, tx *sql.Tx, write writeFunc) (result, err error) {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return nil, fmt.Errorf("setting a savepoint: %w", err)
	}
	if result = write(ctx, tx); result != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO one"); err != nil {
			return result, fmt.Errorf("going back to a savepoint: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "RELEASE one"); err != nil {
		return result, fmt.Errorf("releasing a savepoint: %w", err)
	}
	return result, nil
}

func writeBatch(ctx context.Context, tx *sql.Tx, b Batch) error {
	for _, r := range b.Put {
		if err := putRecord(ctx, tx, r); err != nil {
			return err
		}
	}
	for _, r := range b.Remove {
		res, err := tx.ExecContext(ctx, "DELETE FROM records WHERE kind = ? AND id = ? AND revision = ?",
			r.Kind, r.ID, r.Revision)
		if err := changedOne(res, err); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		if err := putEvent(ctx, tx, e); err != nil {
			return err
		}
	}
	if c := b.Cursor; c != nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO cursors (gateway, boot, seq) VALUES (?, ?, ?)
			ON CONFLICT (gateway) DO UPDATE SET boot = excluded.boot, seq = excluded.seq`, c.Gateway, c.Boot, c.Seq)
		if err != nil {
			return fmt.Errorf("writing a gateway's cursor: %w", err)
		}
	}
	return nil
}

func putRecord(ctx context.Context, tx *sql.Tx, r *Record) error {
	var deleted sql.NullInt64
	if r.DeletedAt != nil {
		deleted = sql.NullInt64{Int64: r.DeletedAt.UnixNano(), Valid: true}
	}
	var res sql.Result
	var err error
	if r.Revision == 0 {
		res, err = tx.ExecContext(ctx, "INSERT INTO records ("+recordColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)`,
			r.Kind, r.ID, r.Project, r.Name, documentVersion, string(r.SpecJSON), string(r.StatusJSON), r.Sealed,
			r.Generation, r.ObservedGeneration, r.LastGeneration, r.CreatedAt.UnixNano(), deleted)
	} else {
		res, err = tx.ExecContext(ctx, `UPDATE records SET name = ?, v = ?, spec = ?, status = ?, sealed = ?,
			generation = ?, observed_generation = ?, last_generation = ?, revision = revision + 1, deleted_at = ?
			WHERE kind = ? AND id = ? AND project = ? AND revision = ?`,
			r.Name, documentVersion, string(r.SpecJSON), string(r.StatusJSON), r.Sealed,
			r.Generation, r.ObservedGeneration, r.LastGeneration, deleted,
			r.Kind, r.ID, r.Project, r.Revision)
	}
	if name, id := isTaken(err); id || (name && r.Revision == 0 && exists(ctx, tx, r)) {
		return ErrStale
	} else if name {
		return ErrNameTaken
	}
	return changedOne(res, err)
}

// exists tells whether there is a record with the id; SQLite may have looked at the name first.
func exists(ctx context.Context, tx *sql.Tx, r *Record) bool {
	var one int
	return tx.QueryRowContext(ctx, "SELECT 1 FROM records WHERE kind = ? AND id = ?", r.Kind, r.ID).Scan(&one) == nil
}

func changedOne(res sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("writing a record: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("writing a record: %w", err)
	}
	if n != 1 {
		return ErrStale
	}
	return nil
}

func putEvent(ctx context.Context, tx *sql.Tx, e ClusterEvent) error {
	body, err := json.Marshal(e.Event)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO events (cluster, seq, at, project, body)
		SELECT ?1, 1 + COALESCE(MAX(seq), 0), ?2, ?3, ?4 FROM events WHERE cluster = ?1`,
		e.ClusterID, e.Event.Time.UnixNano(), e.Project, string(body))
	if err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	return nil
}

func scanEvents(rows *sql.Rows) ([]hubapi.Event, error) {
	var events []hubapi.Event
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	return events, nil
}

func scanEvent(row interface{ Scan(dest ...any) error }) (hubapi.Event, error) {
	var seq int64
	var body []byte
	var e hubapi.Event
	if err := row.Scan(&seq, &body); err != nil {
		return e, fmt.Errorf("reading an event: %w", err)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("decoding an event: %w", err)
	}
	e.Seq = seq
	return e, nil
}

// Prune implements Events.
func (s *SQLite) Prune(ctx context.Context, before time.Time, keep int) error {
	_, err := s.writes.ExecContext(ctx, `DELETE FROM events WHERE at < ?
		AND NOT EXISTS (SELECT 1 FROM records WHERE kind = ? AND id = events.cluster)`, before.UnixNano(), KindCluster)
	if err != nil {
		return fmt.Errorf("removing events of clusters that are gone: %w", err)
	}
	_, err = s.writes.ExecContext(ctx, `DELETE FROM events
		WHERE seq <= (SELECT MAX(seq) FROM events AS newest WHERE newest.cluster = events.cluster) - ?`, keep)
	if err != nil {
		return fmt.Errorf("removing old events: %w", err)
	}
	return nil
}
