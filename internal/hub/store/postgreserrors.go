package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The codes of PostgreSQL that are decided on.
const (
	pgUniqueViolation     = "23505"
	pgSerializationFailed = "40001"
	pgDeadlock            = "40P01"
	pgReadOnly            = "25006" // what was the primary is a standby now
	pgAdminShutdown       = "57P01"
	pgCrashShutdown       = "57P02"
	pgCannotConnectNow    = "57P03" // it starts up or shuts down

	pgClassConnection = "08"
	pgClassResources  = "53" // too many connections, no disk or memory
)

// failed says what was being done when an error came up, and whether the database was not there. The connection is nil
// when there was none to be had.
func (p *Postgres) failed(ctx context.Context, doing string, conn *pgx.Conn, err error) error {
	switch {
	case err == nil:
		return nil
	case p.life.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrStale), errors.Is(err, ErrNameTaken), errors.Is(err, ErrNoRecord):
		return err
	case isUnavailable(conn, err):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// isUnavailable tells whether an error comes of a database that is not there, or of a connection that was cut.
func isUnavailable(conn *pgx.Conn, err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch refused.Code {
		case pgReadOnly, pgAdminShutdown, pgCrashShutdown, pgCannotConnectNow:
			return true
		}
		return strings.HasPrefix(refused.Code, pgClassConnection) || strings.HasPrefix(refused.Code, pgClassResources)
	}
	return conn == nil || conn.IsClosed()
}

// isConflict tells that a transaction met another one and can be done again.
func isConflict(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == pgSerializationFailed || refused.Code == pgDeadlock)
}

// violated returns the name of the constraint that a write met, or "".
func violated(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == pgUniqueViolation {
		return refused.ConstraintName
	}
	return ""
}
