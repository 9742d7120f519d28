//! The gateway of this program: accounts from the configuration, the desk that deliveries, schedules and processes work
//! on, and the gateway over it, whose messages become turns. The engine opens the desk; the server, and the command
//! `gateway terminal`, run a gateway over it.

pub(crate) mod offered;
mod responder;
mod running;

use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{Principal, TenantId};
use haversack_gateway::approval::Approver;
use haversack_gateway::platform::webhook::{self, SigningSecret};
use haversack_gateway::process::{Environment, ProcessOptions};
use haversack_gateway::{Account, Accounts, Desk, Gateway, GatewayOptions, Hooks};
use haversack_store::{KeyFile, Store};
use serde_json::json;
use tracing::Instrument;

use crate::code::Code;
use crate::config::{self, Config};
use crate::confine;
use crate::engine::Engine;
use crate::problem::Fault;
use crate::telemetry::{Journal, Kind, trace};
use responder::Answers;

pub(crate) use running::Running;

/// The desk over a store, with the configured accounts. Blocks for as long as it takes to read the secrets.
///
/// # Errors
/// [`Code::ConfigInvalid`] for accounts that contradict themselves or secrets that are not there.
pub(crate) fn desk(config: &Config, store: &Store, keys: &KeyFile, journal: &Journal) -> Result<Desk, Fault> {
    let accounts = accounts(&config.gateway)?;
    crate::tls::install();
    let client = webhook::client().build().map_err(Fault::internal)?;
    let processes = config.gateway.commands.as_ref().map(|section| commands(section, config)).transpose()?;
    let mut options = GatewayOptions { processes, hooks: hooks(journal), ..GatewayOptions::default() };
    if let Some(section) = &config.gateway.commands {
        options.approvers = approvers(section)?;
        options.patience = Duration::from_secs(section.approval_s);
    }
    options.limits.text = config.limits.message_bytes;
    options.sockets = config.gateway.sockets_per_tenant;
    options.heartbeat = config.limits.heartbeat();
    Ok(Desk::new(store.clone(), keys.clone(), accounts, client, [], options)?)
}

/// The configured accounts, with their secrets.
///
/// # Errors
/// As [`desk`].
pub(crate) fn accounts(config: &config::Gateway) -> Result<Accounts, Fault> {
    let accounts = config.accounts.iter().map(account).collect::<Result<Vec<_>, _>>()?;
    Ok(Accounts::new(accounts)?)
}

/// A gateway over the desk of an engine, answered by its turns.
pub(crate) fn over(engine: &Engine) -> Gateway {
    Gateway::new(engine.desk().clone(), Arc::new(Answers { turns: engine.turns().clone() }))
}

/// Each message begins a trace, and each delivery is a unit of work in the trace that caused it. The journal knows who is alive.
fn hooks(journal: &Journal) -> Hooks {
    let (journal, others) = (journal.clone(), journal.clone());
    let hooks = Hooks::default().process(journal.process(), move |name| others.is_alive(name));
    hooks.trace(|| trace::mint().ok()).around(move |id, work| {
        let delivery = id.to_owned();
        // The unit binds its place around this block, and the span is opened inside it.
        let sending = async move {
            let span = tracing::info_span!("delivery", delivery);
            work.instrument(span).await;
        };
        Box::pin(journal.unit(Kind::Delivery, id, sending))
    })
}

/// An account as the gateway knows it. Its text passes through the gateway's own reading of it, so that what an account may be is
/// said once.
fn account(config: &config::Account) -> Result<Account, Fault> {
    let invalid = |why: String| {
        Fault::new(Code::ConfigInvalid, format!("[[gateway.accounts]] `{}`: {why}", config.name))
    };
    let cross_post: Vec<_> = config.cross_post.iter().map(|chat| json!({ "chat": chat })).collect();
    let read = serde_json::from_value(json!({
        "name": config.name,
        "platform": config.platform,
        "tenant": config.tenant,
        "users": config.users,
        "unknown": config.unknown,
        "sessions": config.sessions,
        "busy": config.busy,
        "profile": config.profile,
        "cross_post": cross_post,
        "webhook": {
            "callbacks": config.callbacks,
            "traced": config.traced,
            "window_s": config.window_s,
            "max_chars": config.max_chars,
        },
    }));
    let mut account: Account = read.map_err(|error| invalid(error.to_string()))?;
    for reference in &config.secrets {
        account.webhook.secrets.push(SigningSecret::parse(config::resolve(reference)?.expose())?);
    }
    if !["webhook", "websocket", "terminal"].contains(&config.platform.as_str()) {
        return Err(invalid("the platform is none of `webhook`, `websocket`, `terminal`".to_owned()));
    }
    Ok(account)
}

fn commands(section: &config::Command, config: &Config) -> Result<ProcessOptions, Fault> {
    let environment = Environment::new([("PATH".to_owned(), section.path.clone())], &["PATH".to_owned()])?;
    let mut options = ProcessOptions::new(section.folder.clone(), environment);
    options.ask = section.ask;
    options.foreground = Duration::from_secs(section.foreground_s);
    let tenants = section.tenants.iter().flatten().map(|name| tenant(name));
    options.tenants = section.tenants.as_ref().map(|_| tenants.collect()).transpose()?;
    options.confinement = confine::commands(config, &section.path)?;
    Ok(options)
}

fn approvers(config: &config::Command) -> Result<Vec<Approver>, Fault> {
    let approver = |one: &config::Approver| {
        let principal = Principal::new(one.principal.clone()).map_err(|why| {
            Fault::new(Code::ConfigInvalid, format!("`gateway.commands.approvers`: `principal`: {why}"))
        })?;
        let mut approver = Approver::new(tenant(&one.tenant)?, principal);
        (approver.account, approver.chat, approver.callback) =
            (one.account.clone(), one.chat.clone(), one.callback.clone());
        Ok(approver)
    };
    config.approvers.iter().map(approver).collect()
}

fn tenant(name: &str) -> Result<TenantId, Fault> {
    TenantId::new(name)
        .map_err(|why| Fault::new(Code::ConfigInvalid, format!("`gateway.commands`: tenant: {why}")))
}
