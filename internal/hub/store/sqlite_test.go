package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// TestSQLiteFile is about what only a file has.
func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with ? # % in it", "hub.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	commit(t, open(t, path), store.Batch{Put: []*store.Record{record("a", "one")}})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database's mode: %v, %v", info.Mode(), err)
	}
}

func TestSQLiteOfNewerVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hub.db")
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, store.Batch{Put: []*store.Record{record("a", "one")}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "UPDATE records SET v = 99"); err != nil {
		t.Fatal(err)
	}
	if s, err = store.OpenSQLite(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), store.KindCluster, "a"); !errors.Is(err, store.ErrNewerDocument) {
		t.Errorf("reading a newer document: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), path); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("opening a newer database: %v", err)
	}
}
