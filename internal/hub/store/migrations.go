package store

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*/*.sql
var migrationFiles embed.FS

// migration is one step of a database's schema. Its number is its place in the list, from 1.
type migration struct{ name, text string }

// migrationsFor returns all steps for a kind of database, in order.
func migrationsFor(database string) ([]migration, error) {
	files, err := fs.Glob(migrationFiles, "migrations/"+database+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	slices.Sort(files)
	steps := make([]migration, 0, len(files))
	for i, file := range files {
		number, _, _ := strings.Cut(path.Base(file), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s is out of order", file)
		}
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading migration %s: %w", file, err)
		}
		steps = append(steps, migration{file, string(text)})
	}
	return steps, nil
}

// missing returns the steps that a database with this schema has not seen. A newer schema than the program's is refused.
func missing(steps []migration, version int) ([]migration, error) {
	if version > len(steps) {
		return nil, fmt.Errorf("%w: it has schema %d, this program knows %d; use the newer program",
			ErrNewerSchema, version, len(steps))
	}
	return steps[version:], nil
}
