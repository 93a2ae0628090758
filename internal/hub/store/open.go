package store

import (
	"context"
	"strings"
)

// Open opens the store that is named: a PostgreSQL database by its URL, "postgres://...", or a SQLite file by its path.
func Open(ctx context.Context, dsn string) (Database, error) {
	if IsPostgres(dsn) {
		return OpenPostgres(ctx, dsn)
	}
	return OpenSQLite(ctx, dsn)
}

// IsPostgres tells whether a name is the URL of a PostgreSQL database, which several hub instances may share.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}
