//! `gateway pair`: strangers show a code, and an operator says who they are. It works on the control file, beside a running server
//! or without one. Whatever changes is in the audit before it is done.

use haversack::well_known::Principal;
use haversack_gateway::account::Pairings;
use haversack_store::{AuditRow, Store, now_millis};

use super::time;
use crate::auth::name::check_name;
use crate::cli::config::Source;
use crate::cli::output::Output;
use crate::code::Code;
use crate::config::process;
use crate::engine::store_options;
use crate::problem::Fault;

/// Arguments of `gateway pair`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List who waits and who was let in.
    Ls,
    /// Let a stranger in.
    Confirm {
        /// The code that they were told.
        code: String,
        /// Who they are.
        #[arg(long)]
        principal: String,
    },
    /// Make somebody a stranger again.
    Revoke {
        /// The account that they write to.
        #[arg(long)]
        account: String,
        /// Their id on the platform.
        user: String,
    },
}

/// # Errors
/// [`Code::DataNotWritable`] without a data folder; [`Code::SenderUnknown`] for a code or a sender that is not there; the store's.
pub(super) fn run(args: Args, out: &Output) -> anyhow::Result<()> {
    let config = args.source.load()?.config.store;
    if !config.path.exists() {
        let detail = format!("There is no data folder at {}.", config.path.display());
        return Err(Fault::new(Code::DataNotWritable, detail).into());
    }
    haversack::block_on(&crate::cli::runtime()?, async {
        let (path, options) = (config.path.clone(), store_options(&config));
        let opening = haversack::spawn_blocking(move || Store::join(&path, options));
        let store = opening.await.map_err(Fault::internal)??;
        let acted = act(args.action, &store, out).await;
        store.close().await?;
        acted
    })?;
    Ok(())
}

async fn act(action: Action, store: &Store, out: &Output) -> Result<(), Fault> {
    let pairings = Pairings::new(store.clone());
    match action {
        Action::Ls => {
            let mut rows = Vec::new();
            for row in pairings.list().await? {
                out.value(&row);
                let (code, principal) = (row.code.unwrap_or_default(), row.principal.unwrap_or_default());
                rows.push(vec![row.account, row.user, row.name, code, principal, time(row.created_at)]);
            }
            out.table(&["ACCOUNT", "USER", "NAME", "CODE", "PRINCIPAL", "SINCE"], &rows);
        }
        Action::Confirm { code, principal } => {
            check_name("principal", &principal)?;
            audit(store, "gateway.pair.confirm", &principal).await?;
            let who = Principal::new(principal.as_str()).map_err(Fault::internal)?;
            pairings.confirm(&code, &who).await.map_err(absent)?;
            out.line(&format!("whoever has this code speaks as {principal} from now on"));
        }
        Action::Revoke { account, user } => {
            audit(store, "gateway.pair.revoke", &format!("{account}/{user}")).await?;
            pairings.revoke(&account, &user).await.map_err(absent)?;
            out.line("revoked; the next message of this sender is refused");
        }
    }
    Ok(())
}

async fn audit(store: &Store, action: &str, subject: &str) -> Result<(), Fault> {
    let row = AuditRow {
        actor: format!("cli:{}", process::user()),
        action: action.to_owned(),
        tenant: None,
        subject: Some(subject.to_owned()),
        note: None,
        at: now_millis(),
    };
    Ok(store.control().audit().append(row).await?)
}

fn absent(error: haversack_gateway::GatewayError) -> Fault {
    match error {
        haversack_gateway::GatewayError::NotFound { .. } => {
            Fault::new(Code::SenderUnknown, "Nobody waits with this code, or is known under this name.")
        }
        other => other.into(),
    }
}
