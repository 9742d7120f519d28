-- Pipeline runs. A run is its principal's: every key begins with the tenant and the principal, and every statement for a
-- caller names both as its scope has them. What a run was given and what happened in it is sealed; in the clear stand only
-- whose it is, what it is called, and how far it got. Values of secrets stand in none of these tables.
-- Times are milliseconds since the Unix epoch, UTC.

-- A pipeline as it was when a run was started, once for all runs of a tenant that share it. Its author wrote it, not a caller.
CREATE TABLE pipeline_definitions (
    tenant   TEXT NOT NULL,
    identity TEXT NOT NULL,          -- SHA-256 of the body, hexadecimal
    body     TEXT NOT NULL,          -- canonical JSON
    PRIMARY KEY (tenant, identity)
) STRICT, WITHOUT ROWID;

-- One row a run: what changes. Only the executor of the current generation may write.
CREATE TABLE pipeline_runs (
    tenant     TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    run        TEXT    NOT NULL,     -- the caller's key
    id         TEXT    NOT NULL UNIQUE, -- 32 random hexadecimal digits: tells it from another run that was or will be called so
    pipeline   TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    session    TEXT,                 -- the session that was bound at its start
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    generation INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    asked      INTEGER NOT NULL,     -- the number of the event that asked for this try: the first, or the last retry
    trace      TEXT    NOT NULL,     -- 32 hexadecimal digits: one trace a run
    cancel_at  INTEGER,
    created_at INTEGER NOT NULL,
    began_at   INTEGER,
    ended_at   INTEGER,
    parameters BLOB    NOT NULL,     -- JSON object, sealed; last, so that what stands before is read without it
    PRIMARY KEY (tenant, principal, run),
    FOREIGN KEY (tenant, definition) REFERENCES pipeline_definitions (tenant, identity)
) STRICT; -- with row ids: a key that is looked for is not compared with rows that hold a large value

CREATE INDEX pipeline_runs_newest ON pipeline_runs (tenant, principal, created_at, run);
CREATE INDEX pipeline_runs_of_session ON pipeline_runs (tenant, principal, session) WHERE session IS NOT NULL;
CREATE INDEX pipeline_runs_of_definition ON pipeline_runs (tenant, definition);
CREATE INDEX pipeline_runs_ended ON pipeline_runs (ended_at) WHERE ended_at IS NOT NULL;

-- The run log, which is the event stream too: rows are added and never changed. They go with their run.
CREATE TABLE pipeline_events (
    tenant     TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    number     INTEGER NOT NULL,     -- from 1, without gaps
    at         INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    body       BLOB    NOT NULL,     -- JSON, sealed
    PRIMARY KEY (tenant, principal, run, number)
) STRICT; -- with row ids, as above

CREATE TRIGGER pipeline_events_are_never_changed BEFORE UPDATE ON pipeline_events
BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END;

CREATE TRIGGER pipeline_events_go_with_their_run BEFORE DELETE ON pipeline_events
WHEN EXISTS (SELECT 1 FROM pipeline_runs
             WHERE tenant = OLD.tenant AND principal = OLD.principal AND run = OLD.run)
BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END;

-- Folders of runs whose rows are gone. Written in the transaction that deletes the rows, and deleted when the folder is gone,
-- so that a crash in between leaves no folder that nobody knows of.
CREATE TABLE pipeline_leftovers (
    tenant TEXT NOT NULL,
    folder TEXT NOT NULL,
    PRIMARY KEY (tenant, folder)
) STRICT, WITHOUT ROWID;
