-- Messages: arrivals, deliveries, schedules, background processes.
-- Times are milliseconds since the Unix epoch, UTC. What was said, and the address that it goes to, stands only in `sealed`:
-- a snapshot with its payload, encrypted for this tenant, this table and this row.

-- Messages that were taken, so that the same one is not taken twice, and that none is lost which was accepted.
CREATE TABLE gateway_arrivals (
    number      INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they came
    tenant      TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    message     BLOB    NOT NULL CHECK (length(message) = 32), -- SHA-256 of the platform's id
    instance    TEXT    NOT NULL, -- the process that works on it; empty when it was left to the next one
    sealed      BLOB, -- the message, until it is finished, where its answer can be said later
    starts      INTEGER NOT NULL DEFAULT 1, -- how often the work on it began
    arrived_at  INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (tenant, account, message)
) STRICT;

CREATE INDEX gateway_arrivals_left ON gateway_arrivals (number) WHERE finished_at IS NULL AND sealed IS NOT NULL;

CREATE INDEX gateway_arrivals_by_age ON gateway_arrivals (arrived_at);

-- Senders whom the configuration does not know: with a code until an operator says who they are.
CREATE TABLE gateway_pairings (
    account    TEXT    NOT NULL,
    user       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    code       TEXT    UNIQUE,
    principal  TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account, user),
    CHECK ((code IS NULL) <> (principal IS NULL))
) STRICT, WITHOUT ROWID;

-- What is to be said. `number` gives the order within one place.
CREATE TABLE gateway_deliveries (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    target      BLOB    NOT NULL CHECK (length(target) = 32), -- fingerprint of tenant and route
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'attempting', 'delivered', 'failed', 'abandoned')),
    sealed      BLOB, -- none once nothing is left to say
    parts_done  INTEGER NOT NULL DEFAULT 0,
    again       INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1)), -- may have arrived: the next attempt says so
    interrupted INTEGER NOT NULL DEFAULT 0, -- attempts whose gateway died
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    reason      TEXT, -- a short fixed word, never what a platform said
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX gateway_deliveries_waiting ON gateway_deliveries (tenant, due_at) WHERE state = 'pending';
CREATE INDEX gateway_deliveries_by_due ON gateway_deliveries (state, due_at);
CREATE INDEX gateway_deliveries_by_target ON gateway_deliveries (target, number)
    WHERE state IN ('pending', 'attempting');
CREATE INDEX gateway_deliveries_by_tenant ON gateway_deliveries (tenant, number);

-- Places that did not answer. A row goes when its place answers again.
CREATE TABLE gateway_targets (
    target     BLOB    PRIMARY KEY NOT NULL CHECK (length(target) = 32),
    failures   INTEGER NOT NULL,
    dead_since INTEGER,
    probe_at   INTEGER
) STRICT, WITHOUT ROWID;

-- Schedules. Each runs as itself.
CREATE TABLE gateway_schedules (
    id          TEXT    PRIMARY KEY NOT NULL,
    tenant      TEXT    NOT NULL,
    owner       TEXT    NOT NULL, -- the principal who made it, and may list and end it
    expression  TEXT    NOT NULL,
    next_at     INTEGER NOT NULL,
    fence       INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    sealed      BLOB    NOT NULL,
    lost_at     INTEGER, -- it does not open: it runs no more, and its owner sees that
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_schedules_by_due ON gateway_schedules (next_at) WHERE lost_at IS NULL;
CREATE INDEX gateway_schedules_by_tenant ON gateway_schedules (tenant, owner);

-- Background processes whose end somebody waits for.
CREATE TABLE gateway_processes (
    id         TEXT    PRIMARY KEY NOT NULL,
    tenant     TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    session    TEXT    NOT NULL, -- the session key
    instance   TEXT    NOT NULL, -- the gateway that started it
    pid        INTEGER NOT NULL, -- 0 while it starts
    born       TEXT    NOT NULL, -- tells the process from a later one with its number
    state      TEXT    NOT NULL CHECK (state IN ('starting', 'running', 'ended', 'lost')),
    exit_code  INTEGER,
    notify     INTEGER NOT NULL CHECK (notify IN (0, 1)),
    sealed     BLOB, -- none once its end was told
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_processes_by_state ON gateway_processes (state, instance);
CREATE INDEX gateway_processes_ended ON gateway_processes (tenant, session, ended_at) WHERE ended_at IS NOT NULL;
