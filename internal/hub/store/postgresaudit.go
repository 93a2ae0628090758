package store

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
)

// auditGroup collects entries that wait while others are being written: only one transaction at a time can know what the
// next entry follows.
type auditGroup struct {
	mu      sync.Mutex
	waiting []*pendingAudit
	turn    chan struct{} // holds a token while nobody writes
}

type pendingAudit struct {
	entry AuditEntry
	done  chan error
}

func newAuditGroup() *auditGroup {
	g := &auditGroup{turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

func (g *auditGroup) add(p *pendingAudit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, p)
}

func (g *auditGroup) take() []*pendingAudit {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	group := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return group
}

// AppendAudit implements Audits. It is written even if the context ends meanwhile.
func (p *Postgres) AppendAudit(ctx context.Context, e AuditEntry) error {
	mine := &pendingAudit{e, make(chan error, 1)}
	p.audits.add(mine)
	for {
		select {
		case err := <-mine.done:
			return err
		case <-p.audits.turn:
		}
		group := p.audits.take()
		if len(group) > 0 {
			err := p.writeAudit(context.WithoutCancel(ctx), group)
			for _, a := range group {
				a.done <- err
			}
		}
		p.audits.turn <- struct{}{}
	}
}

func (p *Postgres) writeAudit(ctx context.Context, group []*pendingAudit) error {
	return p.transactExactly(ctx, "writing to the audit log", func(ctx context.Context, tx *pgTx) error {
		var seq int64
		var before []byte
		var end pgx.Batch
		end.Queue("SELECT pg_advisory_xact_lock($1)", lockKey("audit"))
		end.Queue("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").QueryRow(func(row pgx.Row) error {
			if err := row.Scan(&seq, &before); !errors.Is(err, pgx.ErrNoRows) {
				return err //nolint:wrapcheck // transact says what was being done.
			}
			return nil
		})
		if err := tx.send(ctx, &end); err != nil {
			return err
		}
		var b pgx.Batch
		for _, a := range group {
			e := a.entry.after(seq, before)
			b.Queue("INSERT INTO audit ("+auditColumns+`)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, e.columns()...)
			seq, before = e.Seq, e.Hash
		}
		return tx.send(ctx, &b)
	})
}

// Audit implements Audits.
func (p *Postgres) Audit(ctx context.Context, project string, after int64, limit int) ([]AuditEntry, error) {
	return query(ctx, p, "reading the audit log", func(row pgx.CollectableRow) (AuditEntry, error) { return scanAudit(row) },
		"SELECT "+auditColumns+` FROM audit WHERE seq > $1 AND ($2::text = '' OR project = $2) ORDER BY seq LIMIT $3`,
		after, storable(project), limit)
}

// Setting implements Settings.
func (p *Postgres) Setting(ctx context.Context, name string) ([]byte, error) {
	found, err := query(ctx, p, "reading setting "+name, pgx.RowTo[[]byte], "SELECT value FROM settings WHERE name = $1", name)
	if err == nil && len(found) == 0 {
		err = ErrNoRecord
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// PutSettingIfAbsent implements Settings.
func (p *Postgres) PutSettingIfAbsent(ctx context.Context, name string, value []byte) ([]byte, error) {
	err := p.transact(ctx, "writing setting "+name, func(ctx context.Context, tx *pgTx) error {
		var b pgx.Batch
		b.Queue("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, value)
		return tx.send(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	return p.Setting(ctx, name)
}
