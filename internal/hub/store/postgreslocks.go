package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sessionTimeout bounds one statement on a connection that is not a request's.
	sessionTimeout = 5 * time.Second
	lockWaitMin    = 5 * time.Millisecond
	lockWaitMax    = 100 * time.Millisecond
)

// pgLocks are named locks between instances: advisory locks of one session for each instance, however many are held. In
// front of each stands a lock in the process, so that only one of its goroutines asks the database for a name.
type pgLocks struct {
	local  *locks
	config *pgx.ConnConfig
	turn   chan struct{} // holds a token while nobody uses the session; none after close
	conn   *pgx.Conn     // nil until there is a session
	held   map[int64]struct{}
}

func newPGLocks(config *pgx.ConnConfig) *pgLocks {
	l := &pgLocks{local: newLocks(), config: config, turn: make(chan struct{}, 1), held: map[int64]struct{}{}}
	l.turn <- struct{}{}
	return l
}

// lockKey is the database's number for a name.
func lockKey(name string) int64 {
	sum := sha256.Sum256([]byte("palette hub\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// Lock implements Peers. Who waits asks again and again: a session that waits could do nothing else.
func (p *Postgres) Lock(ctx context.Context, name string) (unlock func(), err error) {
	leave, err := p.locks.local.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	key := lockKey(name)
	for wait := lockWaitMin; ; wait = min(2*wait, lockWaitMax) {
		got, err := p.try(ctx, key)
		if err == nil && !got {
			err = pause(ctx, wait/2+rand.N(wait/2)) //nolint:gosec // Jitter needs no secrecy.
		}
		if err != nil {
			leave()
			return nil, err
		}
		if got {
			return func() { p.locks.release(key); leave() }, nil
		}
	}
}

// try asks for a lock, with a new session if the one there was has gone.
func (p *Postgres) try(ctx context.Context, key int64) (got bool, err error) {
	l := p.locks
	select {
	case _, open := <-l.turn:
		if !open {
			return false, ErrClosed
		}
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	// A request that ends must not take the session with it, on which the locks of others are.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	got, err = l.ask(ctx, key)
	if err != nil {
		got, err = l.ask(ctx, key) // with a session that a restart of the database has not cut
	}
	if err != nil {
		return false, p.failed(context.Background(), "locking", nil, err)
	}
	if got {
		l.held[key] = struct{}{}
	}
	return got, nil
}

func (l *pgLocks) ask(ctx context.Context, key int64) (got bool, err error) {
	if err := l.connect(ctx); err != nil {
		return false, err
	}
	if err := l.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil {
		l.drop(ctx)
		return false, fmt.Errorf("asking for a lock: %w", err)
	}
	return got, nil
}

// connect sees to it that there is a session. A new one takes back what the old one held, unless another instance has been
// faster.
func (l *pgLocks) connect(ctx context.Context) error {
	if l.conn != nil && !l.conn.IsClosed() {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, l.config.Copy())
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	l.conn = conn
	for key := range l.held {
		if _, err := conn.Exec(ctx, "SELECT pg_try_advisory_lock($1)", key); err != nil {
			l.drop(ctx)
			return fmt.Errorf("taking locks back: %w", err)
		}
	}
	return nil
}

func (l *pgLocks) drop(ctx context.Context) {
	_ = l.conn.Close(ctx) // it is of no use any more
	l.conn = nil
}

// release gives a lock back. With a session that has gone it was given back already.
func (l *pgLocks) release(key int64) {
	if _, open := <-l.turn; !open {
		return // the store was closed, and the session with it
	}
	defer func() { l.turn <- struct{}{} }()
	delete(l.held, key)
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sessionTimeout)
	defer cancel()
	if _, err := l.conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", key); err != nil {
		l.drop(ctx)
	}
}

func (l *pgLocks) close() {
	<-l.turn
	close(l.turn)
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sessionTimeout)
		defer cancel()
		l.drop(ctx)
	}
}
