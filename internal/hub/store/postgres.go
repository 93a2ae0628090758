package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// maxConns is how many connections an instance uses for records, unless the URL has pool_max_conns. Locks and wake-ups
	// have one more each.
	maxConns = 10
	// connectTimeout bounds the making of a connection, unless the URL has connect_timeout.
	connectTimeout = 5 * time.Second
	// readTimeout bounds one reading, writeTimeout a transaction once it has begun. Whoever waits for a server that is
	// frozen, or behind a cut cable, is told so and not left hanging.
	readTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	// retryWithin is how soon an error must come for another try: what took longer was no dead connection in the pool.
	retryWithin = time.Second
)

// Postgres keeps everything in a PostgreSQL database that any number of hub instances share. The database is the hub's
// own; a pooler in front of it has to keep sessions, on which locks and notifications are. After a restart of the database
// the store connects anew; what did not go through in between fails with ErrUnavailable.
type Postgres struct {
	pool   *pgxpool.Pool
	audits *auditGroup
	locks  *pgLocks
	wakes  *pgWakes

	readTimeout, writeTimeout time.Duration
	// life ends with Close.
	life context.Context //nolint:containedctx // It is the store's own, not a request's.
	end  context.CancelFunc
	once sync.Once
}

var _ Database = (*Postgres)(nil)

// OpenPostgres connects to the database with the URL and brings it to this program's schema.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database's URL: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns=") {
		cfg.MaxConns = maxConns
	}
	if !strings.Contains(url, "connect_timeout=") {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "palette-hub"
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	p := &Postgres{pool: pool, audits: newAuditGroup(), readTimeout: readTimeout, writeTimeout: writeTimeout}
	p.life, p.end = context.WithCancel(context.Background())
	p.locks = newPGLocks(cfg.ConnConfig)
	p.wakes = newPGWakes(cfg.ConnConfig)
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return migratePG(ctx, conn.Conn()) })
	if err != nil {
		return nil, errors.Join(p.failed(ctx, "opening the database", nil, err), p.Close())
	}
	return p, nil
}

// Close ends what the store does and closes its connections. Locks that are held are given back.
func (p *Postgres) Close() error {
	p.once.Do(func() {
		p.end()
		p.wakes.close()
		p.locks.close()
		p.pool.Close()
	})
	return nil
}

// Ping implements Database.
func (p *Postgres) Ping(ctx context.Context) error {
	return p.read(ctx, "asking the database", func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
}

// pgRead is what is done on a connection.
type pgRead func(ctx context.Context, conn *pgx.Conn) error

// read runs what changes nothing, or may be done twice, on a connection. Connections that a restart of the database has
// left dead in the pool do not count: it tries once more with new ones.
func (p *Postgres) read(ctx context.Context, doing string, fn pgRead) error {
	began := time.Now()
	err := p.readOnce(ctx, doing, fn)
	if errors.Is(err, ErrUnavailable) && time.Since(began) < retryWithin {
		p.pool.Reset()
		err = p.readOnce(ctx, doing, fn)
	}
	return err
}

func (p *Postgres) readOnce(ctx context.Context, doing string, fn pgRead) error {
	limited, cancel := context.WithTimeout(ctx, p.readTimeout)
	defer cancel()
	conn, err := p.pool.Acquire(limited)
	if err != nil {
		return p.failed(ctx, doing, nil, err)
	}
	defer conn.Release()
	return p.failed(ctx, doing, conn.Conn(), fn(limited, conn.Conn()))
}

// query returns what a statement finds.
func query[T any](
	ctx context.Context, p *Postgres, doing string, scan func(pgx.CollectableRow) (T, error), sql string, args ...any,
) (found []T, err error) {
	err = p.read(ctx, doing, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err //nolint:wrapcheck // read says what was being done.
		}
		found, err = pgx.CollectRows(rows, scan)
		return err //nolint:wrapcheck // Likewise.
	})
	if len(found) == 0 {
		return nil, err
	}
	return found, err
}

func scanPGRecord(row pgx.CollectableRow) (*Record, error) { return scanRecord(row) }

// Get implements Records.
func (p *Postgres) Get(ctx context.Context, kind Kind, id string) (*Record, error) {
	if storable(id) != id {
		return nil, ErrNoRecord // it would be refused as a value
	}
	found, err := query(ctx, p, "reading a record", scanPGRecord,
		"SELECT "+recordColumns+" FROM records WHERE kind = $1 AND id = $2", string(kind), id)
	if err == nil && len(found) == 0 {
		err = ErrNoRecord
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// List implements Records.
func (p *Postgres) List(ctx context.Context, kind Kind, f Filter) ([]*Record, error) {
	if storable(f.Project) != f.Project || storable(f.Name) != f.Name {
		return nil, nil
	}
	return query(ctx, p, "listing records", scanPGRecord, "SELECT "+recordColumns+` FROM records
		WHERE kind = $1 AND ($2::text = '' OR project = $2) AND ($3::text = '' OR name = $3) ORDER BY project, name`,
		string(kind), f.Project, f.Name)
}

// Events implements Events.
func (p *Postgres) Events(
	ctx context.Context, project, clusterID string, after int64, limit int,
) ([]hubapi.Event, error) {
	return query(ctx, p, "reading events", func(row pgx.CollectableRow) (hubapi.Event, error) { return scanEvent(row) },
		"SELECT seq, body FROM events WHERE cluster = $1 AND seq > $2 AND project = $3 ORDER BY seq LIMIT $4",
		storable(clusterID), after, storable(project), limit)
}

// Cursor implements Events.
func (p *Postgres) Cursor(ctx context.Context, gatewayID string) (Cursor, error) {
	found, err := query(ctx, p, "reading a gateway's cursor", pgx.RowToStructByPos[Cursor],
		"SELECT gateway, boot, seq FROM cursors WHERE gateway = $1", storable(gatewayID))
	if err != nil || len(found) == 0 {
		return Cursor{Gateway: gatewayID}, err
	}
	return found[0], nil
}

// Prune implements Events.
func (p *Postgres) Prune(ctx context.Context, before time.Time, keep int) error {
	return p.transact(ctx, "removing old events", func(ctx context.Context, tx *pgTx) error {
		var b pgx.Batch
		b.Queue(`DELETE FROM events WHERE at < $1
			AND NOT EXISTS (SELECT 1 FROM records WHERE kind = $2 AND id = events.cluster)`, before.UnixNano(), string(KindCluster))
		b.Queue(`DELETE FROM events USING event_heads AS head
			WHERE head.cluster = events.cluster AND events.seq <= head.seq - $1::bigint`, keep)
		return tx.send(ctx, &b)
	})
}
