package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
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
	conn  *pgx.Conn
	id    uuid.UUID // what it is found by afterwards; zero for one that may be done twice
	begun bool
}

// send runs a batch in one round trip.
func (tx *pgTx) send(ctx context.Context, b *pgx.Batch) error {
	if !tx.begun {
		var first pgx.Batch
		first.Queue("begin")
		if tx.id != uuid.Nil {
			first.Queue("INSERT INTO commits (id, written) VALUES ($1, true)", tx.id)
		}
		first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
		b, tx.begun = &first, true
	}
	return tx.conn.SendBatch(ctx, b).Close()
}

// pgWork is what is done in a transaction. It may be done several times, until it is committed once.
type pgWork func(ctx context.Context, tx *pgTx) error

// transact does work that may be committed twice without harm. Once it has begun its outcome is waited for, whatever
// happens to the context: the caller must know whether it was written.
func (p *Postgres) transact(ctx context.Context, doing string, work pgWork) error {
	return p.again(func() error { return p.transactOnce(ctx, doing, uuid.Nil, work) })
}

// transactExactly is like transact for work that must not be committed twice.
func (p *Postgres) transactExactly(ctx context.Context, doing string, work pgWork) error {
	return p.again(func() error {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("making the id of a transaction: %w", err)
		}
		return p.transactOnce(ctx, doing, id, work)
	})
}

func (p *Postgres) again(once func() error) error {
	lost := false
	for try := 1; ; try++ {
		began := time.Now()
		err := once()
		switch {
		case isConflict(err) && try < writeTries:
		case errors.Is(err, ErrUnavailable) && !errors.Is(err, errUncertain) && !lost && time.Since(began) < retryWithin:
			// It may have been a connection that the last restart of the database has left dead in the pool.
			lost = true
			p.pool.Reset()
		default:
			return err
		}
	}
}

func (p *Postgres) transactOnce(ctx context.Context, doing string, id uuid.UUID, work pgWork) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return p.failed(ctx, doing, nil, err)
	}
	defer conn.Release() // what is not idle then is closed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.writeTimeout)
	defer cancel()
	tx := &pgTx{conn: conn.Conn(), id: id}
	if err := work(ctx, tx); err != nil {
		if !tx.conn.IsClosed() {
			_, _ = tx.conn.Exec(ctx, "rollback") // a connection on which that fails is closed
		}
		return p.failed(context.Background(), doing, tx.conn, err)
	}
	_, err = tx.conn.Exec(ctx, "commit")
	if err != nil && tx.conn.IsClosed() && id != uuid.Nil {
		return p.settle(ctx, doing, id, err)
	}
	return p.failed(context.Background(), doing, tx.conn, err)
}

// settle learns what has become of a transaction whose connection was cut while it was being committed. It writes down
// that it was not, which waits for the transaction where it is still going on, and then looks which of the two is there.
func (p *Postgres) settle(ctx context.Context, doing string, id uuid.UUID, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for {
		var written bool
		err := p.readOnce(ctx, "asking for a transaction", func(ctx context.Context, conn *pgx.Conn) error {
			var b pgx.Batch
			b.Queue("INSERT INTO commits (id, written) VALUES ($1, false) ON CONFLICT DO NOTHING", id)
			b.Queue("SELECT written FROM commits WHERE id = $1", id).
				QueryRow(func(row pgx.Row) error { return row.Scan(&written) })
			return conn.SendBatch(ctx, &b).Close()
		})
		switch {
		case err == nil && written:
			return nil
		case err == nil:
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, cause)
		case !errors.Is(err, ErrUnavailable), pause(ctx, settleWait) != nil:
			return fmt.Errorf("%w: %w: %s: %w", ErrUnavailable, errUncertain, doing, errors.Join(cause, err))
		}
		p.pool.Reset()
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
