package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Attend implements Peers. By the database's clock, so that those of the instances need not agree.
func (p *Postgres) Attend(ctx context.Context, instance string, topics []string, ttl time.Duration) error {
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	if topics == nil {
		topics = []string{}
	}
	return p.read(ctx, "saying what is attended to", func(ctx context.Context, conn *pgx.Conn) error {
		var b pgx.Batch // which is a transaction of its own
		b.Queue(`DELETE FROM presence WHERE (instance = $1 AND topic <> ALL ($2::text[]))
			OR until < now() - interval '1 minute'`, instance, topics)
		b.Queue(`INSERT INTO presence (topic, instance, until) SELECT unnest($2::text[]), $1, now() + $3::interval
			ON CONFLICT (topic, instance) DO UPDATE SET until = excluded.until`, instance, topics, ttl)
		return conn.SendBatch(ctx, &b).Close()
	})
}

// Attended implements Peers.
func (p *Postgres) Attended(ctx context.Context, topic, except string) (bool, error) {
	found, err := query(ctx, p, "asking who attends", pgx.RowTo[bool],
		"SELECT EXISTS (SELECT 1 FROM presence WHERE topic = $1 AND instance <> $2 AND until > now())", topic, except)
	return len(found) == 1 && found[0], err
}
