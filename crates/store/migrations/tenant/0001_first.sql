-- One tenant's data. The file belongs to the tenant in `stamp`, so no table has a tenant column.
-- Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE meta (
    only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema_version INTEGER NOT NULL
) STRICT;

-- The full tenant id, byte for byte; compared each time a connection to this file is opened.
CREATE TABLE stamp (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    tenant   BLOB    NOT NULL
) STRICT;

-- History -------------------------------------------------------------------------------------------------

-- A session is owned by the principal that started it.
CREATE TABLE sessions (
    session_id     TEXT    PRIMARY KEY NOT NULL,
    principal      TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    closed_at      INTEGER,
    title          TEXT
) STRICT;

CREATE INDEX sessions_of_principal ON sessions (principal, last_active_at);

-- A session that was deleted, by its principal's and its own name, hashed: work that began in it may still be under way
-- and must not write its words again.
CREATE TABLE deleted_sessions (
    fingerprint BLOB    PRIMARY KEY NOT NULL CHECK (length(fingerprint) = 32),
    deleted_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX deleted_sessions_by_age ON deleted_sessions (deleted_at);

CREATE TABLE turns (
    turn_id         TEXT    PRIMARY KEY NOT NULL,
    session_id      TEXT    NOT NULL REFERENCES sessions (session_id)
                            ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    number          INTEGER NOT NULL,
    principal       TEXT    NOT NULL,
    idempotency_key TEXT,
    request_hash    BLOB,
    status          TEXT    NOT NULL,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    UNIQUE (session_id, number)
) STRICT;

-- Partial, because most turns come without a key and need no entry.
CREATE UNIQUE INDEX turns_by_key ON turns (session_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE messages (
    session_id TEXT    NOT NULL REFERENCES sessions (session_id)
                       ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    turn_id    TEXT    NOT NULL REFERENCES turns (turn_id)
                       ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    seq        INTEGER NOT NULL,
    role       TEXT    NOT NULL,
    content    TEXT    NOT NULL CHECK (json_valid(content)),
    at         INTEGER NOT NULL,
    PRIMARY KEY (session_id, turn_id, seq)
) STRICT;

CREATE INDEX messages_of_turn ON messages (turn_id);

-- What was said stays said: rows are added, and go away only when a session is forgotten.
CREATE TRIGGER messages_are_never_changed BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'messages are append-only'); END;

-- INSERT OR REPLACE deletes and inserts without an UPDATE, so it needs a lock of its own.
CREATE TRIGGER messages_are_never_replaced BEFORE INSERT ON messages
WHEN EXISTS (SELECT 1 FROM messages m
             WHERE m.session_id = new.session_id AND m.turn_id = new.turn_id AND m.seq = new.seq)
BEGIN SELECT RAISE(ABORT, 'messages are append-only'); END;

-- Words that were added to a turn while it ran, by the key of their request: its reply answers them, once.
CREATE TABLE added_words (
    session_id      TEXT NOT NULL REFERENCES sessions (session_id)
                         ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    idempotency_key TEXT NOT NULL,
    request_hash    BLOB NOT NULL,
    turn_id         TEXT NOT NULL REFERENCES turns (turn_id)
                         ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (session_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX added_words_of_turn ON added_words (turn_id);

-- What entered the prompt of a turn, from which layer, at what cost.
CREATE TABLE manifests (
    turn_id TEXT PRIMARY KEY NOT NULL REFERENCES turns (turn_id)
                 ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    json    TEXT NOT NULL CHECK (json_valid(json))
) STRICT;

-- Session-learning cache ----------------------------------------------------------------------------------

-- What was tried in a session and how it went; `action_norm` is the action as compared. A session's name may come to
-- another principal when it is free again, so it alone is no fence.
CREATE TABLE attempts (
    id          TEXT    PRIMARY KEY NOT NULL,
    session_id  TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    action_norm TEXT    NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('worked', 'failed', 'unknown')),
    detail      TEXT,
    turn_id     TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    UNIQUE (session_id, principal, action_norm)
) STRICT;

CREATE INDEX attempts_by_expiry ON attempts (expires_at);

-- Recall --------------------------------------------------------------------------------------------------

-- Embedding spaces: vectors compare only within one. The first release writes none.
CREATE TABLE spaces (
    id         TEXT    PRIMARY KEY NOT NULL,
    provider   TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    revision   TEXT    NOT NULL,
    dimension  INTEGER NOT NULL,
    pooling    TEXT    NOT NULL,
    normalised INTEGER NOT NULL CHECK (normalised IN (0, 1)),
    prefixes   TEXT    NOT NULL
) STRICT;

-- `pk` is explicit because the text index refers to it, and VACUUM renumbers implicit row ids.
CREATE TABLE memories (
    pk            INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    text          TEXT    NOT NULL,
    text_hash     BLOB    NOT NULL,
    kind          TEXT    NOT NULL DEFAULT 'fact',
    subject       TEXT,
    source        TEXT    NOT NULL,
    session_id    TEXT,
    principal     TEXT,
    created_at    INTEGER NOT NULL,
    superseded_by TEXT,
    superseded_at INTEGER,
    valid_from    INTEGER NOT NULL,
    space         TEXT,
    vector        BLOB
) STRICT;

-- Two live memories never say the same; a superseded one may say it again later.
CREATE UNIQUE INDEX memories_live_text ON memories (text_hash) WHERE superseded_at IS NULL;
CREATE INDEX memories_live_subject ON memories (subject) WHERE superseded_at IS NULL AND subject IS NOT NULL;
CREATE INDEX memories_live_space ON memories (space) WHERE superseded_at IS NULL;
CREATE INDEX memories_of_session ON memories (session_id);

CREATE VIRTUAL TABLE memories_fts USING fts5 (
    text, content = 'memories', content_rowid = 'pk', tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Without this a deleted word stays readable in the index until a merge happens to pass by.
INSERT INTO memories_fts (memories_fts, rank) VALUES ('secure-delete', 1);

-- The index holds live memories only, so that a subject which changes often does not make every search longer.
CREATE TRIGGER memories_indexed AFTER INSERT ON memories WHEN new.superseded_at IS NULL BEGIN
    INSERT INTO memories_fts (rowid, text) VALUES (new.pk, new.text);
END;

CREATE TRIGGER memories_unindexed AFTER DELETE ON memories WHEN old.superseded_at IS NULL BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.pk, old.text);
END;

CREATE TRIGGER memories_reindexed AFTER UPDATE OF text, superseded_at ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text)
        SELECT 'delete', old.pk, old.text WHERE old.superseded_at IS NULL;
    INSERT INTO memories_fts (rowid, text) SELECT new.pk, new.text WHERE new.superseded_at IS NULL;
END;
