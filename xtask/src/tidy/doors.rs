//! Doors and fences. A context begins only at a door, so a `Boundary` is made only in the files listed here. The
//! layers behind the doors take the tenant and the session from the context: no public function of theirs has
//! such a parameter, and no static of theirs can hold what one tenant left for the next.

use super::{Finding, source::Source, tree::Tree};

/// Every file that makes a boundary, and whom it lets in.
const DOORS: &[&str] = &[
    // HTTP requests and the command line.
    "crates/server/src/boundary.rs",
    // The operator, who may enter any tenant and leaves an audit row.
    "crates/server/src/operator.rs",
    // Jobs, on their way back into the context that they were submitted in.
    "crates/jobs/src/worker/door.rs",
    // Messages that arrive, schedules that are due, and what is said after its turn. Each demands a reply route.
    "crates/gateway/src/door.rs",
    // MCP messages, each as the caller that the door in front of the transport knows.
    "crates/mcp/src/door.rs",
    // Tests; behind the feature `testing`.
    "crates/haversack/src/testing/mod.rs",
];

/// Crates whose scope comes from the context, and the parameter names and types that would let a caller choose it.
/// In `agent` a person may say which of their own sessions is meant; nobody may say whose.
const FENCED: &[(&str, &[&str])] = &[
    ("memory", &["tenant", "tenant_id", "TenantId", "session", "session_id", "SessionId", "Scope"]),
    ("jobs", &["tenant", "tenant_id", "TenantId", "Scope"]),
    ("agent", &["tenant", "tenant_id", "TenantId"]),
    ("pipeline", &["tenant", "tenant_id", "TenantId", "Scope"]),
    // An account is configured, so it may say whose it is; what works on messages may not.
    ("gateway", &["tenant_id", "Scope"]),
    ("mcp", &["tenant", "tenant_id", "TenantId", "Scope"]),
];

/// Crates in which a process-wide cell would be shared by all tenants. A constant that is computed once
/// (`LazyLock`) is none: nobody can put anything into it.
const CELL_FREE: &[&str] = &["store", "memory", "jobs", "agent", "pipeline", "gateway", "mcp"];
const CELLS: &[&str] = &["Mutex", "RwLock", "OnceLock", "OnceCell", "RefCell", "Cell"];

/// Who may see rows of every tenant in the control file: engines that claim, renew and sweep. Whatever works for one
/// caller asks for that caller's rows.
const ENGINES: &[&str] = &[
    "crates/store/src/control_db/",
    // Claims jobs for whichever tenant is due, and runs each in its submitter's context.
    "crates/jobs/src/backend/",
    // Deletes runs of pipelines whose time is up, and folders of runs that are gone.
    "crates/pipeline/src/sweep.rs",
    // Delivers replies, runs schedules and watches background processes of all tenants.
    "crates/gateway/src/",
];
const ENGINE_WORDS: &[&str] = &["control().engine", "EngineRows"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        findings.extend(boundaries(source));
        findings.extend(engines(source));
        for (folder, scopes) in FENCED {
            if source.is_of(folder) {
                findings.extend(parameters(source, scopes));
            }
        }
        if CELL_FREE.iter().any(|folder| source.is_of(folder)) {
            findings.extend(cells(source));
        }
    }
    findings
}

fn boundaries(source: &Source) -> Vec<Finding> {
    let lines = source.lines_with("Boundary::new").into_iter();
    lines
        .filter(|line| !DOORS.contains(&source.path.as_str()) && !source.is_test(*line))
        .map(|line| {
            Finding::at(
                &source.path,
                line,
                "a context would begin here, and this file is no door",
                "enter through an existing door, or list the new one in xtask/src/tidy/doors.rs and docs/threat-model.md",
            )
        })
        .collect()
}

fn engines(source: &Source) -> Vec<Finding> {
    if source.path == "crates/store/src/lib.rs" || ENGINES.iter().any(|place| source.path.starts_with(place))
    {
        return Vec::new();
    }
    let lines = ENGINE_WORDS.iter().flat_map(|word| source.lines_with(word));
    lines
        .filter(|line| !source.is_test(*line))
        .map(|line| {
            Finding::at(
                &source.path,
                line,
                "rows of every tenant are reached here, and this file is no engine",
                "use `Store::rows`, which reads the tenant from the context, or list the engine in xtask/src/tidy/doors.rs",
            )
        })
        .collect()
}

fn parameters(source: &Source, scopes: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in source.places_of("fn") {
        let line = source.line_of(at);
        if source.is_test(line) || !is_public(&source.code, at) {
            continue;
        }
        let Some((name, parameters)) = signature(&source.code[at..]) else { continue };
        let words = parameters.split(|c: char| !c.is_alphanumeric() && c != '_');
        for scope in words.filter(|word| scopes.contains(word)) {
            findings.push(Finding::at(
                &source.path,
                line,
                format!("the public function `{name}` lets its caller choose the scope: `{scope}`"),
                "read it from the context, once, where the storage is opened",
            ));
        }
    }
    findings
}

fn cells(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in source.places_of("static") {
        // The lifetime `'static` is the same word.
        if source.code[..at].ends_with('\'') || source.is_test(source.line_of(at)) {
            continue;
        }
        let declaration = source.code[at..].split(['=', ';']).next().unwrap_or_default();
        let words = declaration.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.into_iter().any(|word| CELLS.contains(&word)) {
            findings.push(shared(source, source.line_of(at)));
        }
    }
    for line in source.lines_with("thread_local") {
        if !source.is_test(line) {
            findings.push(shared(source, line));
        }
    }
    findings
}

fn shared(source: &Source, line: usize) -> Finding {
    Finding::at(
        &source.path,
        line,
        "a cell that lives as long as the process is shared by all tenants",
        "keep it behind the store, keyed by the scope, or inside the value that needs it",
    )
}

/// Whether the `fn` at `at` is declared `pub`, and not `pub(crate)` or the like.
fn is_public(code: &str, at: usize) -> bool {
    let before = code[..at].trim_end();
    let mut words = before.rsplit(|c: char| c.is_whitespace());
    loop {
        match words.next() {
            Some("const" | "async" | "unsafe" | "extern") => {}
            Some("pub") => return true,
            _ => return false,
        }
    }
}

/// Name and parameter list of the function whose `fn` starts `code`.
fn signature(code: &str) -> Option<(&str, &str)> {
    let rest = code.strip_prefix("fn")?.trim_start();
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    let (name, rest) = rest.split_at(end);
    // Generic parameters may hold parentheses of their own, as in `F: Fn(A)`.
    let mut angles = 0usize;
    let mut open = None;
    let mut previous = ' ';
    for (i, c) in rest.char_indices() {
        match c {
            '<' => angles += 1,
            '>' if previous != '-' => angles = angles.saturating_sub(1),
            '(' if angles == 0 => {
                open = Some(i);
                break;
            }
            _ => {}
        }
        previous = c;
    }
    let inside = &rest[open? + 1..];
    let mut depth = 1usize;
    for (i, c) in inside.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, &inside[..i]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    fn found(path: &str, text: &str) -> usize {
        check(&files(&[(path, text)])).len()
    }

    #[test]
    fn a_door_nobody_listed_is_red() {
        let door = "static SIDE: Boundary = Boundary::new(\"side\");";
        assert_eq!(found("crates/agent/src/tool/mod.rs", door), 1);
        assert_eq!(found("crates/server/src/boundary.rs", door), 0);
        assert_eq!(found("crates/agent/tests/laws/main.rs", door), 0);
    }

    #[test]
    fn rows_of_every_tenant_outside_an_engine_are_red() {
        let bad = "fn f(s: &Store) { s.control().engine().read(); }";
        assert_eq!(found("crates/server/src/http/turns.rs", bad), 1);
        assert_eq!(found("crates/jobs/src/backend/sqlite.rs", bad), 0);
        assert_eq!(found("crates/jobs/src/client.rs", bad), 1);
        assert_eq!(found("crates/store/tests/laws/rows.rs", bad), 0);
    }

    #[test]
    fn a_public_function_that_takes_a_scope_is_red() {
        for bad in [
            "pub fn recall(tenant: &str) {}",
            "pub async fn recall(&self,\n    limit: usize,\n    session_id: &SessionId,\n) {}",
            "pub fn open<F: Fn(u8) -> u8>(f: F, scope: Scope) {}",
            "pub const fn of(id: TenantId) {}",
        ] {
            assert!(found("crates/memory/src/recall/mod.rs", bad) > 0, "{bad}");
        }
        for good in [
            "pub fn recall(query: Query) -> TenantId {}",
            "pub(crate) fn open(tenant: &str) {}",
            "fn open(tenant: &str) {}",
            "pub fn sessions(&self, tenants_limit: usize) {}",
            "// pub fn recall(tenant: &str) {}",
        ] {
            assert_eq!(found("crates/memory/src/recall/mod.rs", good), 0, "{good}");
        }
        assert_eq!(found("crates/agent/src/history/mod.rs", "pub fn session(&self, id: SessionId) {}"), 0);
        assert_eq!(
            found("crates/agent/src/history/mod.rs", "pub fn sessions(&self, tenant: &TenantId) {}"),
            2
        );
        assert_eq!(found("crates/server/src/auth.rs", "pub fn issue(tenant: &str) {}"), 0);
    }

    #[test]
    fn a_cell_for_all_tenants_is_red() {
        for bad in [
            "static CACHE: Mutex<Vec<u8>> = Mutex::new(Vec::new());",
            "pub static LAST: std::sync::OnceLock<String> = OnceLock::new();",
            "thread_local! { static HITS: u8 = 0; }",
        ] {
            assert!(found("crates/memory/src/session.rs", bad) > 0, "{bad}");
        }
        for good in
            ["static STOP: &[&str] = &[];", "fn f(c: &'static Mutex<u8>) {}", "struct A { cache: Mutex<u8> }"]
        {
            assert_eq!(found("crates/memory/src/session.rs", good), 0, "{good}");
        }
    }
}
