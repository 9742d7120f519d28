//! Administration of keys: issue, list, revoke, rotate, and the demo keys. Each change writes an audit row
//! with who did it. The command line calls it, beside a running server or without one; there is no HTTP route
//! to it.

use haversack_store::{AuditRow, ControlDb, KeyRole, KeyRow, now_millis};
use jiff::Timestamp;

use super::key::NewKey;
use super::name::check_name;
use crate::code::Code;
use crate::problem::Fault;

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The tenant that the key opens; empty for an operator's key, which opens none.
    pub tenant: String,
    /// The principal that its requests act as.
    pub principal: String,
    /// A note for lists.
    pub label: String,
    /// When it stops working; `None` never.
    pub expires_at: Option<Timestamp>,
    /// The role of the key.
    pub role: KeyRole,
}

/// A key that was just made.
#[derive(Debug)]
pub struct Issued {
    /// The stored row.
    pub row: KeyRow,
    /// The key itself; show it once, it cannot be read again.
    pub key: NewKey,
}

/// Issues a key. `actor` is who does it, for the audit.
///
/// # Errors
/// [`Code::TenantName`] for a name outside the rules, for a missing tenant, and for one beside [`KeyRole::Operator`]; the
/// store's faults.
pub async fn issue(control: &ControlDb, grant: Grant, actor: &str) -> Result<Issued, Fault> {
    let issued = make(grant, false)?;
    control.keys().insert(issued.row.clone()).await?;
    audit(control, actor, "key.issue", &issued.row).await?;
    Ok(issued)
}

/// Takes a new key back that could not be shown: it was never known to anybody.
///
/// # Errors
/// The store's faults; the key is live then.
pub async fn take_back(control: &ControlDb, issued: &Issued, actor: &str) -> Result<(), Fault> {
    control.keys().revoke(&issued.row.id).await?;
    audit(control, actor, "key.take-back", &issued.row).await
}

/// All keys, revoked ones included, oldest first.
///
/// # Errors
/// The store's faults.
pub async fn list(control: &ControlDb) -> Result<Vec<KeyRow>, Fault> {
    Ok(control.keys().list().await?)
}

/// Revokes a key: it is refused from the next request on, and what was asked for with it is cancelled: queued and running
/// jobs, turns and calls. Revoking twice is the same as once. Revoking a key that was rotated before ends what was asked
/// for with it, which otherwise goes on under the new key.
///
/// # Errors
/// [`Code::KeyUnknown`] when no key has this id.
pub async fn revoke(control: &ControlDb, id: &str, actor: &str) -> Result<KeyRow, Fault> {
    let row = find(control, id).await?;
    control.keys().revoke(id).await?;
    audit(control, actor, "key.revoke", &row).await?;
    find(control, id).await
}

/// Issues a new key for the same tenant, principal, role and label, and ends the old one, both or neither: at once,
/// or at `overlap_until`, so that callers have time to change over. What was asked for with the old key goes on under the
/// new one.
///
/// # Errors
/// [`Code::KeyUnknown`] when no key has this id; [`Code::KeyRevoked`] when it is revoked already.
pub async fn rotate(
    control: &ControlDb,
    id: &str,
    overlap_until: Option<Timestamp>,
    actor: &str,
) -> Result<Issued, Fault> {
    let old = find(control, id).await?;
    if !old.is_live(now_millis()) {
        let detail = format!("The key {id} is revoked or has expired; issue a new one instead.");
        return Err(Fault::new(Code::KeyRevoked, detail));
    }
    let grant = Grant {
        tenant: old.tenant,
        principal: old.principal,
        label: old.label,
        expires_at: old.expires_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        role: old.role,
    };
    let issued = make(grant, old.demo)?;
    let until = overlap_until.map(Timestamp::as_millisecond);
    if !control.keys().rotate(id, issued.row.clone(), until).await? {
        return Err(Fault::new(
            Code::KeyRevoked,
            format!("The key {id} is revoked; issue a new one instead."),
        ));
    }
    audit(control, actor, "key.rotate", &issued.row).await?;
    Ok(issued)
}

/// Makes fresh demo keys, one for each `(tenant, principal)`, and revokes those of earlier starts. Each is
/// a tenant admin, so that every route of a tenant can be tried. Only hashes are stored, so a key that is printed at each
/// start is a new one.
///
/// # Errors
/// The store's faults.
pub async fn renew_demo(control: &ControlDb, people: &[(&str, &str)]) -> Result<Vec<Issued>, Fault> {
    let actor = "serve";
    let mut old = active_demo(control).await?;
    let mut fresh = Vec::new();
    for (tenant, principal) in people {
        let grant = Grant {
            tenant: (*tenant).to_owned(),
            principal: (*principal).to_owned(),
            label: "demo".to_owned(),
            expires_at: None,
            role: KeyRole::TenantAdmin,
        };
        let issued = make(grant, true)?;
        // The same person has another key after each start, and what they asked for before goes on.
        let theirs = old.iter().position(|row| row.tenant == *tenant && row.principal == *principal);
        match theirs.map(|at| old.swap_remove(at)) {
            Some(before) => drop(control.keys().rotate(&before.id, issued.row.clone(), None).await?),
            None => control.keys().insert(issued.row.clone()).await?,
        }
        audit(control, actor, "key.demo", &issued.row).await?;
        fresh.push(issued);
    }
    for row in old {
        revoke(control, &row.id, actor).await?;
    }
    Ok(fresh)
}

/// Demo keys that would open the server now.
///
/// # Errors
/// The store's faults.
pub async fn active_demo(control: &ControlDb) -> Result<Vec<KeyRow>, Fault> {
    let rows = control.keys().list().await?;
    let now = now_millis();
    Ok(rows.into_iter().filter(|row| row.demo && row.is_live(now)).collect())
}

async fn find(control: &ControlDb, id: &str) -> Result<KeyRow, Fault> {
    let unknown = || Fault::new(Code::KeyUnknown, "No key has this id; `haversack keys ls` lists them.");
    control.keys().find(id).await?.ok_or_else(unknown)
}

fn make(grant: Grant, demo: bool) -> Result<Issued, Fault> {
    match (grant.role, grant.tenant.is_empty()) {
        (KeyRole::Operator, true) => {}
        (KeyRole::Operator, false) => {
            let detail = "A key of an operator belongs to the installation; leave the tenant out.";
            return Err(Fault::new(Code::TenantName, detail));
        }
        (KeyRole::Member | KeyRole::TenantAdmin, true) => {
            let detail = "A key with this role opens one tenant; name it with `--tenant`.";
            return Err(Fault::new(Code::TenantName, detail));
        }
        (KeyRole::Member | KeyRole::TenantAdmin, false) => check_name("tenant", &grant.tenant)?,
    }
    check_name("principal", &grant.principal)?;
    let key = NewKey::generate()?;
    let row = KeyRow {
        id: key.id().to_owned(),
        tenant: grant.tenant,
        principal: grant.principal,
        label: grant.label,
        secret_hash: key.secret_hash(),
        demo,
        created_at: now_millis(),
        expires_at: grant.expires_at.map(Timestamp::as_millisecond),
        revoked_at: None,
        replaced_by: None,
        role: grant.role,
    };
    Ok(Issued { row, key })
}

async fn audit(control: &ControlDb, actor: &str, action: &str, row: &KeyRow) -> Result<(), Fault> {
    let row = AuditRow {
        actor: actor.to_owned(),
        action: action.to_owned(),
        tenant: Some(row.tenant.clone()).filter(|tenant| !tenant.is_empty()),
        subject: Some(row.id.clone()),
        note: Some(format!("role {}", row.role)),
        at: now_millis(),
    };
    Ok(control.audit().append(row).await?)
}
