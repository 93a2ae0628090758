-- Documents of all kinds. The name is unique until the record is removed, so that a cluster that is being deleted keeps its
-- name as long as its machines may have it.
CREATE TABLE records (
    kind                TEXT    NOT NULL,
    id                  TEXT    NOT NULL,
    project             TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    v                   INTEGER NOT NULL,
    spec                TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    sealed              BLOB,
    generation          INTEGER NOT NULL,
    observed_generation INTEGER NOT NULL,
    last_generation     INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    created_at          INTEGER NOT NULL, -- nanoseconds since 1970, UTC
    deleted_at          INTEGER,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX records_by_name ON records (kind, project, name);

-- What happened to each cluster; kept for a while after the cluster is gone.
CREATE TABLE events (
    cluster TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    project TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (cluster, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_by_time ON events (at);

-- How far each gateway's reports are kept.
CREATE TABLE cursors (
    gateway TEXT    NOT NULL PRIMARY KEY,
    boot    TEXT    NOT NULL,
    seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
