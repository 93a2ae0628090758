package store_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

const otherColumns = "at, project, actor, role, remote, method, route, kind, object, name, outcome, code, request_id, hash"

// refusals are what the database itself refuses to do to the audit log, whoever asks.
var refusals = map[string]string{
	"change an entry":   "UPDATE audit SET actor = 'nobody' WHERE seq = 2",
	"remove an entry":   "DELETE FROM audit WHERE seq = 2",
	"remove all":        "DELETE FROM audit",
	"add in the middle": "INSERT INTO audit (seq, " + otherColumns + ") SELECT 1000, " + otherColumns + " FROM audit WHERE seq = 1",
}

// tamperings get around the triggers, as the owner of a database can. Each is found out at the entry.
var tamperings = map[string]struct {
	sql  string
	want int64
}{
	"an entry was changed": {"UPDATE audit SET actor = 'nobody' WHERE seq = 2", 2},
	"moved to another":     {"UPDATE audit SET project = name, name = project WHERE seq = 3", 3},
	"its hash was changed": {"UPDATE audit SET hash = (SELECT hash FROM audit AS x WHERE x.seq = 1) WHERE seq = 4", 4},
	"an entry was removed": {"DELETE FROM audit WHERE seq = 2", 2},
	"the first was":        {"DELETE FROM audit WHERE seq = 1", 1},
}

func fillAudit(t *testing.T, s store.Audits) {
	t.Helper()
	for range 4 {
		if err := s.AppendAudit(t.Context(), entry("a", "one")); err != nil {
			t.Fatal(err)
		}
	}
}

func checkRefusals(t *testing.T, db *sql.DB, s store.Audits) {
	t.Helper()
	for name, statement := range refusals {
		if _, err := db.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("the database let somebody %s", name)
		}
	}
	if err := store.VerifyAudit(t.Context(), s); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
}

func checkTampering(t *testing.T, s store.Audits, want int64) {
	t.Helper()
	broken, ok := errors.AsType[*store.BrokenAuditError](store.VerifyAudit(t.Context(), s))
	if !ok || broken.Seq != want {
		t.Errorf("got %+v, want entry %d", broken, want)
	}
}

func TestSQLiteAuditTampering(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		dsn := sqliteFile(t)
		s := open(t, dsn)
		fillAudit(t, s)
		db := behind(t, dsn)
		checkRefusals(t, db, s)
		if _, err := db.ExecContext(t.Context(), "REPLACE INTO audit (seq, "+otherColumns+") SELECT seq, "+otherColumns+" FROM audit WHERE seq = 2"); err == nil {
			t.Error("the database let somebody replace an entry")
		}
	})
	for name, tc := range tamperings {
		t.Run(name, func(t *testing.T) {
			dsn := sqliteFile(t)
			s := open(t, dsn)
			fillAudit(t, s)
			db := behind(t, dsn)
			exec(t, db, "DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete", tc.sql)
			checkTampering(t, s, tc.want)
		})
	}
}
