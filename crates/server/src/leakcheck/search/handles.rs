//! Handles and shared drivers, in process: what no request can do, code inside the server could. A handle that one
//! request made is used in another, and a future that one submitted is polled by another.

use std::path::Path;

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_memory::{Memory, MemoryError, MemoryOptions, Query};
use haversack_store::{Store, StoreOptions};

use super::session_cache;
use crate::boundary::TURN;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::world::{World, tenant_name};

/// Opens the data folder that the product left, and uses its memory.
///
/// # Errors
/// When the folder cannot be opened.
pub(in crate::leakcheck) async fn look(
    world: &World,
    data: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let store = opened(data).await?;
    let memory = Memory::new(store.clone(), MemoryOptions::default());
    exchanged(world, &memory, report).await?;
    session_cache::look(world, &memory, report).await?;
    store.close().await?;
    Ok(())
}

/// The data folder that the product left.
pub(super) async fn opened(data: &Path) -> anyhow::Result<Store> {
    let data = data.to_owned();
    Ok(haversack::spawn_blocking(move || Store::open(&data, StoreOptions::default())).await??)
}

/// Enters as a turn of a conversation would.
pub(super) fn enter(cell: Cell) -> anyhow::Result<Visit> {
    let tenant = TenantId::new(tenant_name(cell.tenant))?;
    let (principal, session) = (Principal::new("kim")?, SessionId::new(cell.session_name())?);
    Ok(TURN
        .enter(|bind| bind.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, principal).bind(&SESSION_ID, session))?)
}

/// What one tenant made, used and polled by another.
async fn exchanged(world: &World, memory: &Memory, report: &mut Report) -> anyhow::Result<()> {
    let session = world.sessions() - 1;
    let question = || Query { text: format!("access word of ward {session}"), limit: 20 };
    let (a, b) = (Cell { tenant: 0, session }, Cell { tenant: 1, session });
    let (in_a, in_b) = (enter(a)?, enter(b)?);

    // A handle that A made, used by B: never data.
    let handle = in_a.run(|| memory.recall())?;
    report.looked(Place::Handles, 1);
    let answered = in_b.run(|| handle.search(question())).await;
    refused("a recall handle", answered, report);
    let cache = in_a.run(|| memory.session())?;
    report.looked(Place::Handles, 1);
    let answered = in_b.run(|| cache.attempts()).await;
    refused("a session cache", answered, report);

    // A future that A submitted, polled by B's driver: A's data, and never B's.
    let submitted = in_a.run(|| handle.search(question()));
    report.looked(Place::Recall, 1);
    match in_b.wrap(submitted).await {
        Ok(found) => {
            let crossed = world.crossed(&format!("{:?}", found.hits), Reader::Owner(a));
            report.crossed(
                Place::Recall,
                &crossed,
                "a recall of the first tenant that the second one polled",
            );
            if found.hits.is_empty() {
                report.gap(Place::Recall, "a recall that another tenant polled found nothing");
            }
        }
        Err(error) => {
            report.gap(Place::Recall, format!("a recall that another tenant polled failed: {error}"));
        }
    }
    Ok(())
}

/// A handle of one tenant that another used must be refused for that, and for nothing else.
fn refused<T>(what: &str, answered: Result<T, MemoryError>, report: &mut Report) {
    match answered {
        Err(MemoryError::Foreign(_)) => {}
        Err(error) => {
            report.gap(Place::Handles, format!("{what} failed before it could be refused: {error}"));
        }
        Ok(_) => {
            let detail = format!("{what} of one tenant answered in the context of another");
            report.crossing(Place::Handles, detail);
        }
    }
}
