//! The command `keys`: issue, list, revoke and rotate API keys. It works on the control file, beside a running server
//! or without one; a server sees a change at its next request. Each change leaves an audit row that names the user.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use haversack_store::{ControlDb, KeyRole, KeyRow, StoreOptions};
use jiff::Timestamp;
use serde::Serialize;

use super::config::Source;
use super::output::Output;
use crate::auth::admin::{self, Grant, Issued};
use crate::code::Code;
use crate::config::process;
use crate::problem::Fault;

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key. It is shown once.
    #[command(visible_alias = "create")]
    Issue {
        /// The tenant that the key opens. A key of an operator opens none; the other roles need it.
        #[arg(long)]
        tenant: Option<String>,
        /// Who its requests act as.
        #[arg(long)]
        principal: String,
        /// The key's role: `member` works as its principal; `tenant-admin` also lists, reads and deletes the sessions of its
        /// tenant; `operator` sees counts of the installation and opens no tenant.
        #[arg(long, default_value = "member", value_parser = ["member", "tenant-admin", "operator"])]
        role: String,
        /// A note for lists.
        #[arg(long, default_value = "")]
        label: String,
        /// When it stops working, from now: `30m`, `12h`, `90d`. Without it, never.
        #[arg(long, value_name = "PERIOD", value_parser = period)]
        expires: Option<Duration>,
    },
    /// List keys; never their secrets.
    Ls {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Make a key useless from the next request on, and cancel what was asked for with it.
    Revoke {
        /// The id, the part between `hv_` and the second `_`.
        id: String,
    },
    /// Replace a key by a new one for the same tenant and principal. What was asked for with the old one goes on.
    Rotate {
        /// The id of the old key.
        id: String,
        /// How long the old key still works: `30m`, `12h`, `7d`. Without it, not at all.
        #[arg(long, value_name = "PERIOD", value_parser = period)]
        overlap: Option<Duration>,
    },
}

/// A key as it is shown. The secret is there once, when it is made.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    tenant: String,
    principal: String,
    role: &'static str,
    label: String,
    state: &'static str,
    demo: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Runs `keys`.
///
/// # Errors
/// [`Code::TenantName`], [`Code::KeyUnknown`], [`Code::KeyRevoked`], and the store's faults.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let data = args.source.load()?.config.store.path;
    let makes = matches!(args.action, Action::Issue { .. });
    if !makes && !data.exists() {
        let detail = format!("There is no data folder at {}, so there are no keys.", data.display());
        return Err(Fault::new(Code::DataNotWritable, detail).into());
    }
    haversack::block_on(&super::runtime()?, async {
        let control = control(&data).await?;
        act(args.action, &control, out).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the control file of a data folder, also beside a server that holds the folder.
///
/// # Errors
/// The store's faults.
pub async fn control(data: &Path) -> Result<ControlDb, Fault> {
    let data = data.to_owned();
    let opening = haversack::spawn_blocking(move || ControlDb::open_shared(&data, &StoreOptions::default()));
    Ok(opening.await.map_err(Fault::internal)??)
}

async fn act(action: Action, control: &ControlDb, out: &Output) -> Result<(), Fault> {
    let actor = format!("cli:{}", process::user());
    match action {
        Action::Issue { tenant, principal, role, label, expires } => {
            let expires_at = expires.map(after).transpose()?;
            let role = KeyRole::named(&role)
                .ok_or_else(|| Fault::new(Code::FieldInvalid, "No role has this name."))?;
            let grant = Grant { tenant: tenant.unwrap_or_default(), principal, label, expires_at, role };
            hand_over(control, &admin::issue(control, grant, &actor).await?, &actor, out).await?;
        }
        Action::Ls { tenant } => {
            let mut keys = admin::list(control).await?;
            keys.retain(|key| tenant.as_ref().is_none_or(|wanted| wanted == key.tenant.as_str()));
            list(&keys, out);
        }
        Action::Revoke { id } => {
            let row = admin::revoke(control, &id, &actor).await?;
            out.value(&Shown::of(&row, None));
            out.line(&format!("revoked {id}; the next request with it is refused"));
        }
        Action::Rotate { id, overlap } => {
            let until = overlap.map(after).transpose()?;
            let issued = admin::rotate(control, &id, until, &actor).await?;
            hand_over(control, &issued, &actor, out).await?;
            match until {
                Some(until) => out.note(&format!("The old key {id} works until {until}.")),
                None => out.note(&format!("The old key {id} is revoked.")),
            }
        }
    }
    Ok(())
}

/// Shows a new key. One that could not be written is taken back, because nobody could use or revoke what nobody saw.
async fn hand_over(control: &ControlDb, issued: &Issued, actor: &str, out: &Output) -> Result<(), Fault> {
    let shown = Shown::of(&issued.row, Some(issued.key.reveal()));
    if let Err(error) = out.hand_over(&shown, shown.key.as_deref().unwrap_or_default()) {
        admin::take_back(control, issued, actor).await?;
        let detail = format!(
            "The key could not be written to standard output, so {} was revoked; issue another one.",
            issued.row.id
        );
        return Err(Fault::caused(Code::OutputFailed, detail, error));
    }
    let of = match issued.row.role {
        KeyRole::Operator => "the installation",
        KeyRole::Member | KeyRole::TenantAdmin => &issued.row.tenant,
    };
    out.note(&format!(
        "for {} of {of}, as {}; this is the only time that the key is shown",
        issued.row.principal, issued.row.role
    ));
    Ok(())
}

fn list(keys: &[KeyRow], out: &Output) {
    for key in keys {
        out.value(&Shown::of(key, None));
    }
    if keys.is_empty() {
        out.note("there are no keys; `haversack keys issue` makes one");
        return;
    }
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let shown = Shown::of(key, None);
            let ends = shown.revoked_at.or(shown.expires_at).unwrap_or_else(|| "-".to_owned());
            vec![
                shown.id,
                if shown.tenant.is_empty() { "-".to_owned() } else { shown.tenant },
                shown.principal,
                shown.role.to_owned(),
                shown.state.to_owned(),
                shown.created_at,
                ends,
                shown.label,
            ]
        })
        .collect();
    out.table(&["ID", "TENANT", "PRINCIPAL", "ROLE", "STATE", "CREATED", "ENDS", "LABEL"], &rows);
}

impl Shown {
    fn of(row: &KeyRow, key: Option<String>) -> Self {
        let now = Timestamp::now().as_millisecond();
        let state = match (row.revoked_at, row.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if at <= now => "expired",
            _ if row.demo => "demo",
            _ => "active",
        };
        Self {
            id: row.id.clone(),
            tenant: row.tenant.to_string(),
            principal: row.principal.to_string(),
            role: row.role.as_str(),
            label: row.label.clone(),
            state,
            demo: row.demo,
            created_at: time(row.created_at),
            expires_at: row.expires_at.map(time),
            revoked_at: row.revoked_at.map(time),
            key,
        }
    }
}

/// A stored time as people and programs read it: RFC 3339, UTC, to the second.
pub(super) fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn after(period: Duration) -> Result<Timestamp, Fault> {
    Timestamp::now().checked_add(period).map_err(|_| {
        Fault::new(Code::FieldInvalid, "The period ends after the year 9999; choose a shorter one.")
    })
}

/// Reads `90s`, `30m`, `12h`, `7d`.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let refused = || "write a number and a unit: 90s, 30m, 12h, 7d".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refused)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(refused()),
    };
    let count: u64 = digits.parse().map_err(|_| refused())?;
    if count == 0 {
        return Err("a period is longer than nothing".to_owned());
    }
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        assert_eq!(period("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(period("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "7", "d", "0h", "-1h", "1.5h", "7 d", "18446744073709551615d", "ü"] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }
}
