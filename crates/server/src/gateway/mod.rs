//! The gateway of this program: accounts from the configuration, and the desk that deliveries, schedules and processes
//! work on. The engine opens the desk; the server runs the gateway over it.

use haversack::well_known::{InvalidId, Principal, TenantId};
use haversack_gateway::platform::webhook::{self, Callbacks, SigningSecret, WebhookConfig};
use haversack_gateway::process::{Environment, ProcessOptions};
use haversack_gateway::{Account, Accounts, Desk, GatewayOptions, Grant};
use haversack_store::{KeyFile, Store};

use crate::code::Code;
use crate::config;
use crate::problem::Fault;

/// The desk over a store, with the configured accounts. Blocks for as long as it takes to read the secrets.
///
/// # Errors
/// [`Code::ConfigInvalid`] for accounts that contradict themselves or secrets that are not there.
pub(crate) fn desk(config: &config::Gateway, store: &Store, keys: &KeyFile) -> Result<Desk, Fault> {
    let accounts = config.accounts.iter().map(account).collect::<Result<Vec<_>, _>>()?;
    let accounts = Accounts::new(accounts)?;
    crate::tls::install();
    let client = webhook::client().build().map_err(Fault::internal)?;
    let processes = config.commands.as_ref().map(commands).transpose()?;
    let options = GatewayOptions { processes, ..GatewayOptions::default() };
    Ok(Desk::new(store.clone(), keys.clone(), accounts, client, [], options)?)
}

fn account(config: &config::Account) -> Result<Account, Fault> {
    let named = |error: InvalidId| invalid(&config.name, &error.to_string());
    let mut account =
        Account::new(&config.name, &config.platform, TenantId::new(config.tenant.as_str()).map_err(named)?);
    for (user, principal) in &config.users {
        account = account.with_user(user, Principal::new(principal.as_str()).map_err(named)?);
    }
    let mut secrets = Vec::new();
    for reference in &config.secrets {
        secrets.push(SigningSecret::parse(config::resolve(reference)?.expose())?);
    }
    account.unknown = config.unknown;
    account.sessions = config.sessions;
    account.busy = config.busy;
    account.profile.clone_from(&config.profile);
    account.cross_post = config.cross_post.iter().map(|chat| Grant { chat: chat.clone() }).collect();
    account.webhook = WebhookConfig {
        secrets,
        callbacks: Callbacks::new(&config.callbacks)?,
        window_s: config.window_s,
        max_chars: config.max_chars,
    };
    Ok(account)
}

fn commands(config: &config::Command) -> Result<ProcessOptions, Fault> {
    let environment = Environment::new([("PATH".to_owned(), config.path.clone())], &["PATH".to_owned()])?;
    Ok(ProcessOptions { ask: config.ask, ..ProcessOptions::new(config.folder.clone(), environment) })
}

fn invalid(account: &str, why: &str) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("[[gateway.accounts]] `{account}`: {why}"))
}
