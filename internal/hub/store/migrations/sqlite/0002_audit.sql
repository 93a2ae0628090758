-- Who did what. Entries are only ever added, each at the end: the triggers refuse the rest, also a REPLACE, which fires no
-- trigger for what it deletes.
CREATE TABLE audit (
    seq        INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL, -- nanoseconds since 1970, UTC
    project    TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    remote     TEXT    NOT NULL,
    method     TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    outcome    INTEGER NOT NULL,
    code       TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    hash       BLOB    NOT NULL -- SHA-256 over the hash before and this entry
) STRICT;

CREATE INDEX audit_by_project ON audit (project, seq);

CREATE TRIGGER audit_only_at_the_end BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT 1 + COALESCE(MAX(seq), 0) FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- What a hub made once for itself and all its instances share, such as its certificate authority.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
