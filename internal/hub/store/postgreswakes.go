package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// wakeWindow is how far back a poll looks: a wake-up becomes visible some time after it has got its number.
	wakeWindow = 10 * time.Second
	// wakesKept is how long wake-ups stay in the database, commitsKept how long it is known what was written; by then
	// nobody asks any more, even where the clocks of instances differ.
	wakesKept    = time.Minute
	commitsKept  = time.Hour
	listenRetry  = 50 * time.Millisecond
	listenMaxTry = time.Second
)

// pgWakes brings wake-ups from one instance to the others: each is a row, and a notification with the same, so that it
// arrives at once and, where notifications do not get through, with the next poll.
type pgWakes struct {
	config *pgx.ConnConfig
	local  *wakes
	origin string // names this instance: its own wake-ups have reached its readers already

	start   sync.Once
	ready   chan struct{}   // closed once the first connection listens
	life    context.Context //nolint:containedctx // It is the listener's own, not a request's.
	end     context.CancelFunc
	running sync.WaitGroup
}

func newPGWakes(config *pgx.ConnConfig) *pgWakes {
	w := &pgWakes{config: config, local: newWakes(), origin: uuid.NewString(), ready: make(chan struct{})}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

func (w *pgWakes) close() {
	w.end()
	w.running.Wait()
}

// queueWakes writes topics down and notifies who listens.
func queueWakes(q *pgx.Batch, origin string, topics []string) {
	clean := make([]string, 0, len(topics))
	for _, topic := range topics {
		clean = append(clean, storable(topic))
	}
	q.Queue(`WITH added AS (INSERT INTO wakes (origin, topic) SELECT $1, unnest($2::text[]) RETURNING id, topic)
		SELECT pg_notify('palette_wakes', id || ' ' || $1::text || ' ' || topic) FROM added`, origin, clean)
}

// Wake implements Peers.
func (p *Postgres) Wake(ctx context.Context, topic string) {
	p.wakes.local.publish(topic)
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	// It is a hint: who misses it finds out with a later look.
	_ = p.read(ctx, "waking others", func(ctx context.Context, conn *pgx.Conn) error {
		var b pgx.Batch
		queueWakes(&b, p.wakes.origin, []string{topic})
		return conn.SendBatch(ctx, &b).Close()
	})
}

// Wakes implements Peers. The first reader waits until the database tells of wake-ups.
func (p *Postgres) Wakes(ctx context.Context) (<-chan string, error) {
	w := p.wakes
	if p.life.Err() != nil {
		return nil, ErrClosed
	}
	topics := w.local.subscribe(ctx, p.life.Done())
	w.start.Do(func() { w.running.Go(w.listen) })
	select {
	case <-w.ready:
		return topics, nil
	case <-p.life.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listen hears of wake-ups until the store is closed, across lost connections.
func (w *pgWakes) listen() {
	ctx := w.life
	wait := listenRetry
	for {
		began := time.Now()
		_ = w.listenOnce(ctx) // that it cannot listen shows in everything else that is asked of the database
		if time.Since(began) > listenMaxTry {
			wait = listenRetry
		}
		if pause(ctx, wait/2+rand.N(wait/2)) != nil { //nolint:gosec // Jitter needs no secrecy.
			return
		}
		wait = min(2*wait, listenMaxTry)
	}
}

func (w *pgWakes) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, w.config.Copy())
	if err != nil {
		return fmt.Errorf("connecting to listen: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN palette_wakes"); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	l := &wakeListener{wakes: w, conn: conn}
	if _, err := l.poll(ctx); err != nil {
		return err
	}
	select {
	case <-w.ready:
		w.local.publish(wakeAll) // something may have been missed
	default:
		close(w.ready)
	}
	return l.run(ctx)
}

// wakeListener is one connection that listens.
type wakeListener struct {
	wakes *pgWakes
	conn  *pgx.Conn
	// seen are the wake-ups that are known, with the poll that last saw them.
	seen   map[int64]int
	polls  int
	polled time.Time
}

func (l *wakeListener) run(ctx context.Context) error {
	for {
		until := time.Until(l.polled.Add(pollInterval))
		n, err := l.wait(ctx, until)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("waiting to be woken: %w", err)
		case n != nil:
			l.notified(n.Payload)
			continue
		}
		last := l.polled
		topics, err := l.poll(ctx)
		if err != nil {
			return err
		}
		if l.polled.Sub(last) > wakeWindow/2 {
			topics = []string{wakeAll}
		}
		for _, topic := range topics {
			l.wakes.local.publish(topic)
		}
	}
}

// wait returns a notification, or nil when the time is up.
func (l *wakeListener) wait(ctx context.Context, d time.Duration) (*pgconn.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, max(d, time.Millisecond))
	defer cancel()
	n, err := l.conn.WaitForNotification(ctx)
	if err != nil && ctx.Err() != nil && !l.conn.IsClosed() {
		return nil, nil
	}
	return n, err //nolint:wrapcheck // run says what was being done.
}

func (l *wakeListener) notified(payload string) {
	number, rest, _ := strings.Cut(payload, " ")
	origin, topic, ok := strings.Cut(rest, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !ok {
		topic = wakeAll // a newer instance says it in another way
	} else {
		l.seen[id] = l.polls
	}
	if origin != l.wakes.origin {
		l.wakes.local.publish(topic)
	}
}

// firstUUID is the smallest id that can have been made at a time.
func firstUUID(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(t.UnixMilli())<<16)
	return id
}

// poll returns the topics that were woken without a notification. In the same round trip it removes what is old.
func (l *wakeListener) poll(ctx context.Context) (topics []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	l.polls++
	first := l.seen == nil
	if first {
		l.seen = map[int64]int{}
	}
	var b pgx.Batch
	b.Queue("DELETE FROM wakes WHERE at < now() - $1::interval", wakesKept)
	b.Queue("DELETE FROM commits WHERE id < $1", firstUUID(time.Now().Add(-commitsKept)))
	b.Queue("SELECT id, origin, topic FROM wakes WHERE at > now() - $1::interval ORDER BY id", wakeWindow).
		Query(func(rows pgx.Rows) error {
			var id int64
			var origin, topic string
			_, err := pgx.ForEachRow(rows, []any{&id, &origin, &topic}, func() error {
				if _, known := l.seen[id]; !known && !first && origin != l.wakes.origin {
					topics = append(topics, topic)
				}
				l.seen[id] = l.polls
				return nil
			})
			return err //nolint:wrapcheck // Below is said what was being done.
		})
	if err := l.conn.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("looking for wake-ups: %w", err)
	}
	for id, poll := range l.seen {
		if poll < l.polls-1 {
			delete(l.seen, id)
		}
	}
	l.polled = time.Now()
	return topics, nil
}
