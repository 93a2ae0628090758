package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// writeTimeout bounds a transaction once it has begun; from then on it no longer depends on its request.
	writeTimeout = 30 * time.Second
	// writeTries bounds how often a transaction is done again that met another one.
	writeTries = 10
	// settleTimeout is how long a store tries to learn whether a transaction was committed whose answer was lost.
	settleTimeout = 5 * time.Second
	settleWait    = 50 * time.Millisecond
)

// errUncertain tells that an answer was lost with the connection and could not be learnt any more.
var errUncertain = errors.New("it is not known whether this was written")

// pgTx is a transaction that begins with its first batch, which saves a round trip.
type pgTx struct {
	conn *pgx.Conn
	id   string // the server's number for it; "" until the first batch
}

// send runs a batch in one round trip.
func (tx *pgTx) send(ctx context.Context, b *pgx.Batch) error {
	if tx.id == "" {
		var first pgx.Batch
		first.Queue("begin")
		first.Queue("SELECT pg_current_xact_id()::text").QueryRow(func(row pgx.Row) error { return row.Scan(&tx.id) })
		first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
		b = &first
	}
	return tx.conn.SendBatch(ctx, b).Close() //nolint:wrapcheck // transact says what was being done.
}

// transact does the work in a transaction. Once that has begun its outcome is waited for, whatever happens to the context:
// the caller must know whether it was written. The work may be done several times.
func (p *Postgres) transact(ctx context.Context, doing string, work func(context.Context, *pgTx) error) error {
	lost := false
	for try := 1; ; try++ {
		err := p.transactOnce(ctx, doing, work)
		switch {
		case isConflict(err) && try < writeTries:
		case errors.Is(err, ErrUnavailable) && !errors.Is(err, errUncertain) && !lost:
			// It may have been a connection that the last restart of the database has left dead in the pool.
			lost = true
			p.pool.Reset()
		default:
			return err
		}
	}
}

func (p *Postgres) transactOnce(ctx context.Context, doing string, work func(context.Context, *pgTx) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return p.failed(ctx, doing, nil, err)
	}
	defer conn.Release() // what is not idle then is closed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	tx := &pgTx{conn: conn.Conn()}
	if err := work(ctx, tx); err != nil {
		if !tx.conn.IsClosed() {
			_, _ = tx.conn.Exec(ctx, "rollback") // a connection on which that fails is closed
		}
		return p.failed(context.Background(), doing, tx.conn, err)
	}
	_, err = tx.conn.Exec(ctx, "commit")
	if err != nil && tx.conn.IsClosed() {
		return p.settle(ctx, doing, tx.id, err)
	}
	return p.failed(context.Background(), doing, tx.conn, err)
}

// settle learns what has become of a transaction whose connection was cut while it was being committed.
func (p *Postgres) settle(ctx context.Context, doing, id string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for {
		var status *string
		err := p.readOnce(ctx, "asking for a transaction", func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", id).Scan(&status)
		})
		switch {
		case err == nil && status != nil && *status == "committed":
			return nil
		case err == nil && status != nil && *status == "aborted":
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, cause)
		case err != nil && !errors.Is(err, ErrUnavailable):
			return fmt.Errorf("%w: %w: %s: %w", ErrUnavailable, errUncertain, doing, errors.Join(cause, err))
		}
		if err := pause(ctx, settleWait); err != nil {
			return fmt.Errorf("%w: %w: %s: %w", ErrUnavailable, errUncertain, doing, cause)
		}
	}
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
