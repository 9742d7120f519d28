-- Jobs that were submitted together with a change of this file, until they are relayed to the queue. Times are
-- milliseconds since the Unix epoch, UTC.

CREATE TABLE outbox (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The id that the job will have: relaying twice queues it once.
    job        TEXT    NOT NULL UNIQUE,
    principal  TEXT    NOT NULL,
    -- As in the queue: the hash of the session that it belongs to.
    session    BLOB    CHECK (session IS NULL OR length(session) = 32),
    -- Where it goes and under which rules; no arguments.
    plan       TEXT    NOT NULL CHECK (json_valid(plan)),
    -- Context and arguments.
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    -- The version of the program that could not read the plan. It stays aside until another version relays.
    unreadable TEXT
) STRICT;
