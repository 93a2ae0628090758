package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// AppendAudit implements Audits.
func (s *SQLite) AppendAudit(ctx context.Context, e AuditEntry) error {
	return s.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var seq int64
		var before []byte
		row := tx.QueryRowContext(ctx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
		if err := row.Scan(&seq, &before); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading the end of the audit log: %w", err)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO audit ("+auditColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.after(seq, before).columns()...)
		if err != nil {
			return fmt.Errorf("writing to the audit log: %w", err)
		}
		return nil
	})
}

// Audit implements Audits.
func (s *SQLite) Audit(ctx context.Context, project string, after int64, limit int) ([]AuditEntry, error) {
	rows, err := s.reads.QueryContext(ctx, "SELECT "+auditColumns+` FROM audit
		WHERE seq > ?1 AND (?2 = '' OR project = ?2) ORDER BY seq LIMIT ?3`, after, project, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var entries []AuditEntry
	for rows.Next() {
		e, err := scanAudit(rows)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return entries, nil
}

// Setting implements Settings.
func (s *SQLite) Setting(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := s.reads.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoRecord
	}
	if err != nil {
		return nil, fmt.Errorf("reading setting %s: %w", name, err)
	}
	return value, nil
}

// PutSettingIfAbsent implements Settings.
func (s *SQLite) PutSettingIfAbsent(ctx context.Context, name string, value []byte) ([]byte, error) {
	err := s.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name, value)
		if err != nil {
			return fmt.Errorf("writing setting %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.Setting(ctx, name)
}

// Ping implements Database.
func (s *SQLite) Ping(ctx context.Context) error {
	if err := s.reads.PingContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
