-- Background jobs of all tenants. What a job was given and what it answered is sealed; in the clear stand only
-- whose it is, when it is due and how far it got. Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE jobs (
    -- The order of arrival. It is never used twice, so a cursor stays valid.
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT    NOT NULL UNIQUE,
    tenant           TEXT    NOT NULL,
    principal        TEXT    NOT NULL,
    queue            TEXT    NOT NULL,
    handler          TEXT    NOT NULL,
    -- SHA-256 of tenant, handler and the caller's idempotency key.
    dedup            BLOB    CHECK (dedup IS NULL OR length(dedup) = 32),
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'retrying', 'parked', 'succeeded',
                                                       'failed', 'cancelled', 'quarantined')),
    -- When it may be claimed. NULL while nobody may: it runs, or it is over.
    run_at           INTEGER,
    -- The attempt that runs or comes next, from 1; it grows when an attempt ended in failure.
    attempt          INTEGER NOT NULL DEFAULT 1,
    max_attempts     INTEGER NOT NULL,
    -- Claims since the last one whose end was recorded: what a worker that dies leaves behind.
    deliveries       INTEGER NOT NULL DEFAULT 0,
    max_deliveries   INTEGER NOT NULL,
    -- All claims. Every write of a worker names the one it holds, so that a lost lease cannot write.
    generation       INTEGER NOT NULL DEFAULT 0,
    lease_until      INTEGER,
    lease_owner      TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    timeout_ms       INTEGER NOT NULL,
    deadline         INTEGER,
    backoff_first_ms INTEGER NOT NULL,
    backoff_max_ms   INTEGER NOT NULL,
    -- How long the row stays after its end.
    keep_ms          INTEGER NOT NULL,
    progress_done    INTEGER,
    progress_total   INTEGER,
    progress_note    BLOB,
    outcome          BLOB,
    -- Why it is not well: a kind that this program knows, and a code that its handler chose.
    failure          TEXT,
    failure_code     TEXT,
    -- Grows with each change that its owner can see.
    changes          INTEGER NOT NULL DEFAULT 1,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    -- When a sweep deletes it. Set at its end, and while it is parked.
    expires_at       INTEGER,
    -- SHA-256 of tenant, principal and the session that it was submitted in, to delete it with that. The name is sealed.
    session          BLOB    CHECK (session IS NULL OR length(session) = 32),
    -- Whether its tenant's outbox may still hold it. If a sweep deleted it before, the next relay would queue it anew.
    in_outbox        INTEGER NOT NULL DEFAULT 0 CHECK (in_outbox IN (0, 1)),
    -- Counts from 1 how often it was begun from its first attempt: a redrive may come to another end, told once more.
    drive            INTEGER NOT NULL DEFAULT 1,
    -- When its end is told to whoever was promised it. NULL before the end, and when it was told or cannot be.
    tell_at          INTEGER,
    tell_tries       INTEGER NOT NULL DEFAULT 0,
    -- Whether its end could not be told.
    untold           INTEGER NOT NULL DEFAULT 0 CHECK (untold IN (0, 1))
) STRICT;

-- The next due job of each tenant of a queue, and the next tenant after a given one, are one step each.
CREATE INDEX jobs_waiting ON jobs (queue, tenant, run_at) WHERE run_at IS NOT NULL;
CREATE INDEX jobs_leased ON jobs (lease_until, tenant) WHERE lease_until IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_to_tell ON jobs (tell_at) WHERE tell_at IS NOT NULL;
CREATE INDEX jobs_of_session ON jobs (session) WHERE session IS NOT NULL;
CREATE INDEX jobs_in_outbox ON jobs (tenant) WHERE in_outbox = 1;
CREATE INDEX jobs_of_owner ON jobs (tenant, principal, number);

-- One live job for each idempotency key.
CREATE UNIQUE INDEX jobs_live_key ON jobs (dedup) WHERE dedup IS NOT NULL AND finished_at IS NULL;

-- Context and arguments, sealed together. Apart, because the row beside it changes often and this never does.
CREATE TABLE job_requests (
    number INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
    sealed BLOB    NOT NULL
) STRICT;
