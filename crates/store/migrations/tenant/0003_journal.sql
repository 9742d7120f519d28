-- What was done for this tenant: one row for each turn, attempt of a job, run of a pipeline and delivery.
-- A row is added when the work begins and completed when it ends; work whose process died stays without an end.
-- It holds ids, names, times and redacted bindings, and nothing that anybody said.

CREATE TABLE journal (
    pk         INTEGER PRIMARY KEY,
    unit_id    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    session_id TEXT,
    request_id TEXT,
    -- Ids as in W3C Trace Context. `parent_id` is the span of the unit, or of the request, that caused this one.
    trace_id   TEXT    NOT NULL,
    span_id    TEXT    NOT NULL UNIQUE,
    parent_id  TEXT,
    -- The `traceparent` of an outside caller.
    link       TEXT,
    -- Role, process id and a word of chance: `server-4711-9f2c51d8`.
    process    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    tree       TEXT    CHECK (tree IS NULL OR json_valid(tree))
) STRICT;

CREATE INDEX journal_of_unit ON journal (unit_id);
CREATE INDEX journal_of_trace ON journal (trace_id);
CREATE INDEX journal_of_request ON journal (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX journal_of_session ON journal (session_id) WHERE session_id IS NOT NULL;
