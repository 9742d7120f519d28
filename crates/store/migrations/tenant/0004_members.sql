-- Who spoke in a session that is owned by a conversation or a schedule and not by a person. Members may list and read it.
CREATE TABLE session_members (
    session_id TEXT    NOT NULL REFERENCES sessions (session_id)
                       ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    principal  TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (principal, session_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_members_of_session ON session_members (session_id);
