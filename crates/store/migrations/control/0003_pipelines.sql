-- Pipeline runs. Every key begins with the tenant, and every statement names the tenant of its scope.
-- Definitions, parameters and outputs are the tenant's data; values of secrets stand in none of these tables.
-- Times are milliseconds since the Unix epoch, UTC.

-- A pipeline as it was when a run was started, once for all runs of a tenant that share it.
CREATE TABLE pipeline_definitions (
    tenant   TEXT NOT NULL,
    identity TEXT NOT NULL,          -- SHA-256 of the body, hexadecimal
    body     TEXT NOT NULL,          -- canonical JSON
    PRIMARY KEY (tenant, identity)
) STRICT, WITHOUT ROWID;

-- One row a run: what changes. Only the executor of the current generation may write.
CREATE TABLE pipeline_runs (
    tenant     TEXT    NOT NULL,
    run        TEXT    NOT NULL,     -- the caller's key
    pipeline   TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    principal  TEXT,
    parameters TEXT    NOT NULL,     -- JSON object
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    generation INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    trace      TEXT    NOT NULL,     -- 32 hexadecimal digits: one trace a run
    cancel_at  INTEGER,
    created_at INTEGER NOT NULL,
    began_at   INTEGER,
    ended_at   INTEGER,
    PRIMARY KEY (tenant, run),
    FOREIGN KEY (tenant, definition) REFERENCES pipeline_definitions (tenant, identity)
) STRICT, WITHOUT ROWID;

CREATE INDEX pipeline_runs_newest ON pipeline_runs (tenant, created_at, run);

-- The run log, which is the event stream too: rows are added and never changed. They go with their run.
CREATE TABLE pipeline_events (
    tenant     TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    number     INTEGER NOT NULL,     -- from 1, without gaps
    at         INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    body       TEXT    NOT NULL,     -- JSON
    PRIMARY KEY (tenant, run, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER pipeline_events_are_never_changed BEFORE UPDATE ON pipeline_events
BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END;

CREATE TRIGGER pipeline_events_go_with_their_run BEFORE DELETE ON pipeline_events
WHEN EXISTS (SELECT 1 FROM pipeline_runs WHERE tenant = OLD.tenant AND run = OLD.run)
BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END;
