//! Jobs that a crash left in the outbox of a tenant: stored with a change of its data, and not yet in the queue. The
//! server moves them once, after it has started, through the operator's door; afterwards whoever enqueues also relays.

use haversack_store::Store;

use super::Work;
use crate::operator::Operator;
use crate::problem::Fault;

/// Moves what is left in the outbox of every tenant; how many jobs. A tenant whose file cannot be used is logged and left
/// for the next start.
///
/// # Errors
/// When the tenants cannot be listed.
pub async fn relay_all(store: &Store, work: &Work) -> Result<usize, Fault> {
    let operator = Operator::new(store.clone(), "outbox")?;
    let mut moved = 0;
    for tenant in operator.tenants().await? {
        let relayed = async {
            let visit = operator.enter(&tenant, "relay jobs").await?;
            Ok::<_, Fault>(visit.run(|| work.jobs.relay()).await?)
        };
        match relayed.await {
            Ok(jobs) => moved += jobs,
            Err(fault) => tracing::warn!(code = %fault.code(), "the outbox of a tenant was not relayed"),
        }
    }
    Ok(moved)
}
