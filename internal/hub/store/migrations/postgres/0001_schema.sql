-- Documents of all kinds. The name is unique until the record is removed, so that a cluster that is being deleted keeps its
-- name as long as its machines may have it.
CREATE TABLE records (
    kind                text   COLLATE "C" NOT NULL,
    id                  text   COLLATE "C" NOT NULL,
    project             text   COLLATE "C" NOT NULL,
    name                text   COLLATE "C" NOT NULL,
    v                   integer NOT NULL,
    spec                text   NOT NULL, -- not jsonb: it comes back byte for byte
    status              text   NOT NULL,
    sealed              bytea,
    generation          bigint NOT NULL,
    observed_generation bigint NOT NULL,
    last_generation     bigint NOT NULL,
    revision            bigint NOT NULL,
    created_at          bigint NOT NULL, -- nanoseconds since 1970, UTC
    deleted_at          bigint,
    CONSTRAINT records_by_id PRIMARY KEY (kind, id),
    CONSTRAINT records_by_name UNIQUE (kind, project, name)
);

-- What happened to each cluster; kept for a while after the cluster is gone.
CREATE TABLE events (
    cluster text   COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    at      bigint NOT NULL,
    project text   COLLATE "C" NOT NULL,
    body    text   NOT NULL,
    PRIMARY KEY (cluster, seq)
);

CREATE INDEX events_by_time ON events (at);

-- The number of each cluster's newest event. Its row is locked by who writes the next ones, so that they become visible in
-- the order of their numbers.
CREATE TABLE event_heads (
    cluster text   COLLATE "C" NOT NULL PRIMARY KEY,
    seq     bigint NOT NULL
);

-- How far each gateway's reports are kept.
CREATE TABLE cursors (
    gateway text   COLLATE "C" NOT NULL PRIMARY KEY,
    boot    text   NOT NULL,
    seq     bigint NOT NULL
);

-- Who did what. Entries are only ever added, each at the end.
CREATE TABLE audit (
    seq        bigint  NOT NULL PRIMARY KEY,
    at         bigint  NOT NULL, -- nanoseconds since 1970, UTC
    project    text    COLLATE "C" NOT NULL,
    actor      text    NOT NULL,
    role       text    NOT NULL,
    remote     text    NOT NULL,
    method     text    NOT NULL,
    route      text    NOT NULL,
    kind       text    NOT NULL,
    object     text    NOT NULL,
    name       text    NOT NULL,
    outcome    integer NOT NULL,
    code       text    NOT NULL,
    request_id text    NOT NULL,
    hash       bytea   NOT NULL -- SHA-256 over the hash before and this entry
);

CREATE INDEX audit_by_project ON audit (project, seq);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;

CREATE FUNCTION audit_grows_at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq IS DISTINCT FROM (SELECT 1 + COALESCE(MAX(seq), 0) FROM audit) THEN
        RAISE EXCEPTION 'the audit log is append-only';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_only_at_the_end BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_grows_at_the_end();
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- What a hub made once for itself and all its instances share, such as its certificate authority.
CREATE TABLE settings (
    name  text  COLLATE "C" NOT NULL PRIMARY KEY,
    value bytea NOT NULL
);

-- Transactions of the last hour, by ids that grow with time. Who has lost the answer to a commit looks here for what has become
-- of it; the server's own number will not do, as a crash may give it to another transaction.
CREATE TABLE commits (
    id      uuid    NOT NULL PRIMARY KEY,
    written boolean NOT NULL -- false was put there later, so that it can never be written any more
);

-- Wake-ups of the last minute, for instances whose notifications were interrupted. Nothing is lost with it: who connects
-- anew looks at everything.
CREATE UNLOGGED TABLE wakes (
    id     bigserial   NOT NULL PRIMARY KEY,
    origin text        NOT NULL,
    topic  text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX wakes_by_time ON wakes (at);

-- Which instance attends to what, as long as it says so.
CREATE UNLOGGED TABLE presence (
    topic    text        COLLATE "C" NOT NULL,
    instance text        COLLATE "C" NOT NULL,
    until    timestamptz NOT NULL,
    PRIMARY KEY (topic, instance)
);
