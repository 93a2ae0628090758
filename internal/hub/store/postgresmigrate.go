package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// migratePG applies the versioned files that the database has not seen. Instances that start together do it one after the
// other.
func migratePG(ctx context.Context, conn *pgx.Conn) error {
	steps, err := migrationsFor("postgres")
	if err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning to migrate: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after Commit this does nothing
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey("migrations")); err != nil {
		return fmt.Errorf("locking the schema: %w", err)
	}
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return err
	}
	rest, err := missing(steps, version)
	if err != nil || len(rest) == 0 {
		return err
	}
	for _, step := range rest {
		// A file has many statements, which only the simple protocol takes.
		if _, err := tx.Conn().PgConn().Exec(ctx, step.text).ReadAll(); err != nil {
			return fmt.Errorf("applying migration %s: %w", step.name, err)
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE palette_schema SET version = $1", len(steps)); err != nil {
		return fmt.Errorf("writing the schema's version: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing migrations: %w", err)
	}
	return nil
}

// schemaVersion returns the database's version, and makes the place for it in an empty one. Only that needs the right to
// make tables, so that a hub can run without it once somebody else has migrated.
func schemaVersion(ctx context.Context, tx pgx.Tx) (int, error) {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('palette_schema') IS NOT NULL").Scan(&exists); err != nil {
		return 0, fmt.Errorf("looking for the schema's version: %w", err)
	}
	if !exists {
		for _, statement := range []string{
			"CREATE TABLE palette_schema (version integer NOT NULL)",
			"INSERT INTO palette_schema (version) VALUES (0)",
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return 0, fmt.Errorf("making the schema's version: %w", err)
			}
		}
		return 0, nil
	}
	var version int
	err := tx.QueryRow(ctx, "SELECT version FROM palette_schema").Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errors.New("the schema's version is missing: the database is damaged")
	}
	if err != nil {
		return 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	return version, nil
}
