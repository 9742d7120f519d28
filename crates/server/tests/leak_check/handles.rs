//! Handles and shared drivers, in process: what no HTTP request can do, code inside the server could.

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_memory::Query;
use haversack_server::boundary::TURN;
use haversack_server::engine::Engine;

use super::canary::{World, tenant_name};
use super::child::Report;

fn enter(tenant: usize, session: &str) -> Visit {
    let tenant = TenantId::new(tenant_name(tenant)).expect("a tenant");
    let principal = Principal::new("kim").expect("a principal");
    let session = SessionId::new(session).expect("a session");
    TURN.enter(|bind| bind.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, principal).bind(&SESSION_ID, session))
        .expect("everything required is bound")
}

fn question() -> Query {
    Query { text: "access word of ward 3".to_owned(), limit: 20 }
}

pub(crate) async fn check(engine: &Engine, world: &World, report: &mut Report) {
    let a = enter(0, "ward-3");
    let b = enter(1, "ward-3");
    let memory = engine.memory();

    // A handle that A made, used by B: never data.
    let handle = a.run(|| memory.recall()).expect("a handle");
    let used_by_b = b.run(|| handle.search(question())).await;
    if used_by_b.is_ok() {
        report.add("handles", "a recall handle of tenant 0 answered inside tenant 1's context");
    }
    let cache = a.run(|| memory.session()).expect("a handle");
    if b.run(|| cache.attempts()).await.is_ok() {
        report.add("handles", "a session cache of tenant 0 answered inside tenant 1's context");
    }

    // A future that A submitted, polled by B's driver: A's data or an error, never B's.
    let submitted = a.run(|| handle.search(question()));
    let polled_by_b = b.wrap(submitted).await;
    match polled_by_b {
        Err(_) => {}
        Ok(found) => {
            let text = format!("{:?}", found.hits);
            let whose = world.strangers_in(&text, 0);
            if !whose.is_empty() {
                report.add("recall", format!("a recall of tenant 0, polled by tenant 1, found {whose:?}"));
            }
            if found.hits.is_empty() {
                report.add("recall", "a recall of tenant 0 found nothing, so nothing was shown");
            }
        }
    }
    drop(a);

    // Each session's cache holds its own attempts and no other's.
    for cell in &world.cells {
        let visit = enter(cell.tenant, &cell.session_name());
        let cache = visit.run(|| memory.session()).expect("a handle");
        match visit.run(|| cache.attempts()).await {
            Err(error) => report.add("session cache", error.to_string()),
            Ok(attempts) => {
                let text = format!("{attempts:?}");
                let others = world.cells.iter().filter(|other| other.attempt != cell.attempt);
                if others.into_iter().any(|other| text.contains(&other.attempt)) {
                    report.add(
                        "session cache",
                        format!("session {} holds another's attempt", cell.session_name()),
                    );
                }
                if !text.contains(&cell.attempt) {
                    report.add("session cache", format!("tenant {} lost its attempt", cell.tenant));
                }
            }
        }
    }
}
