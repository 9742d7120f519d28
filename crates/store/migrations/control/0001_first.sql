-- Control data: what belongs to the installation, not to one tenant.
-- Times are milliseconds since the Unix epoch, UTC.

CREATE TABLE meta (
    only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema_version INTEGER NOT NULL
) STRICT;

-- API keys. The secret itself is shown once, at issue, and stored nowhere: here is its SHA-256.
CREATE TABLE keys (
    id          TEXT    PRIMARY KEY NOT NULL,
    tenant      TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    label       TEXT    NOT NULL,
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    demo        INTEGER NOT NULL CHECK (demo IN (0, 1)),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT;

-- What an operator did, and to whom. Rows are added and never changed.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    tenant  TEXT,
    subject TEXT
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows are append-only'); END;
