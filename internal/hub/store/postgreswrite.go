package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Commit implements Records. It takes two round trips, however many records there are.
func (p *Postgres) Commit(ctx context.Context, b Batch) error {
	err := p.transactExactly(ctx, "writing records", func(ctx context.Context, tx *pgTx) error {
		var q pgx.Batch
		if err := queueBatch(&q, b, p.wakes.origin); err != nil {
			return err
		}
		err := tx.send(ctx, &q)
		switch violated(err) {
		case "records_by_name":
			return ErrNameTaken
		case "records_by_id":
			return ErrStale
		}
		return err
	})
	if err != nil {
		return err
	}
	b.written()
	for _, topic := range b.Wakes {
		p.wakes.local.publish(topic)
	}
	return nil
}

func queueBatch(q *pgx.Batch, b Batch, origin string) error {
	queueLocks(q, b)
	for _, r := range b.Put {
		queuePut(q, r)
	}
	for _, r := range b.Remove {
		q.Queue("DELETE FROM records WHERE kind = $1 AND id = $2 AND revision = $3", string(r.Kind), r.ID, r.Revision).
			Exec(one)
	}
	if err := queueEvents(q, b.Events); err != nil {
		return err
	}
	if c := b.Cursor; c != nil {
		q.Queue(`INSERT INTO cursors (gateway, boot, seq) VALUES ($1, $2, $3)
			ON CONFLICT (gateway) DO UPDATE SET boot = excluded.boot, seq = excluded.seq`, c.Gateway, storable(c.Boot), c.Seq)
	}
	if len(b.Wakes) > 0 {
		queueWakes(q, origin, b.Wakes)
	}
	return nil
}

// queueLocks locks the records of a batch in one order, so that two batches with the same ones do not wait for each other.
func queueLocks(q *pgx.Batch, b Batch) {
	if len(b.Put)+len(b.Remove) < 2 {
		return
	}
	var kinds, ids []string
	for _, r := range slices.Concat(b.Put, b.Remove) {
		kinds, ids = append(kinds, string(r.Kind)), append(ids, r.ID)
	}
	q.Queue(`SELECT 1 FROM records JOIN unnest($1::text[], $2::text[]) AS wanted (kind, id) USING (kind, id)
		ORDER BY kind, id FOR UPDATE OF records`, kinds, ids)
}

func queuePut(q *pgx.Batch, r *Record) {
	var deleted sql.NullInt64
	if r.DeletedAt != nil {
		deleted = sql.NullInt64{Int64: r.DeletedAt.UnixNano(), Valid: true}
	}
	if r.Revision == 0 {
		q.Queue("INSERT INTO records ("+recordColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13)`,
			string(r.Kind), r.ID, r.Project, r.Name, documentVersion, string(r.SpecJSON), string(r.StatusJSON), r.Sealed,
			r.Generation, r.ObservedGeneration, r.LastGeneration, r.CreatedAt.UnixNano(), deleted)
		return
	}
	q.Queue(`UPDATE records SET name = $1, v = $2, spec = $3, status = $4, sealed = $5,
		generation = $6, observed_generation = $7, last_generation = $8, revision = revision + 1, deleted_at = $9
		WHERE kind = $10 AND id = $11 AND project = $12 AND revision = $13`,
		r.Name, documentVersion, string(r.SpecJSON), string(r.StatusJSON), r.Sealed,
		r.Generation, r.ObservedGeneration, r.LastGeneration, deleted,
		string(r.Kind), r.ID, r.Project, r.Revision).Exec(one)
}

func one(tag pgconn.CommandTag) error {
	if tag.RowsAffected() != 1 {
		return ErrStale
	}
	return nil
}

// queueEvents numbers the events of each cluster below a lock on its head, with one statement for each cluster, in one order for
// all that write.
func queueEvents(q *pgx.Batch, events []ClusterEvent) error {
	type column struct {
		at       []int64
		projects []string
		bodies   []string
	}
	columns := map[string]*column{}
	for _, e := range events {
		body, err := json.Marshal(e.Event)
		if err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
		c, known := columns[e.ClusterID]
		if !known {
			c = &column{}
			columns[e.ClusterID] = c
		}
		c.at = append(c.at, e.Event.Time.UnixNano())
		c.projects = append(c.projects, e.Project)
		c.bodies = append(c.bodies, string(body))
	}
	for _, id := range slices.Sorted(maps.Keys(columns)) {
		c := columns[id]
		q.Queue(`WITH head AS (
				INSERT INTO event_heads (cluster, seq) VALUES ($1, $2)
				ON CONFLICT (cluster) DO UPDATE SET seq = event_heads.seq + excluded.seq RETURNING seq
			)
			INSERT INTO events (cluster, seq, at, project, body)
			SELECT $1, head.seq - $2 + e.n, e.at, e.project, e.body
			FROM head, unnest($3::bigint[], $4::text[], $5::text[]) WITH ORDINALITY AS e (at, project, body, n)`,
			id, int64(len(c.at)), c.at, c.projects, c.bodies)
	}
	return nil
}
