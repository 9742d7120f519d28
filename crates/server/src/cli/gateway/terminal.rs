//! `gateway terminal`: a conversation through an account of the platform `terminal`, over standard input and output. An engine of its
//! own works in this process and holds the data folder; what is to be said elsewhere waits for the server.

use haversack_gateway::GatewayError;
use haversack_gateway::platform::terminal::{TERMINAL, TerminalUser, serve};
use haversack_store::{AuditRow, now_millis};

use crate::cli::config::Source;
use crate::code::Code;
use crate::config::{LogFormat, process};
use crate::engine::{Engine, Role};
use crate::gateway;
use crate::problem::Fault;
use crate::telemetry::Telemetry;

/// Arguments of `gateway terminal`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The account.
    #[arg(long, value_name = "NAME")]
    account: String,
    /// Who sits here, as `users` of the account has it; without it, the login name.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Names the conversation: the same one goes on where it stopped.
    #[arg(long, value_name = "NAME", default_value = "terminal")]
    chat: String,
    #[command(flatten)]
    source: Source,
}

/// # Errors
/// [`Code::AccountNotFound`]; the faults of [`Engine::open`]; those of reading and writing.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    process::allow_session();
    let runtime = crate::cli::runtime()?;
    let talked = haversack::block_on(&runtime, talk(args));
    // A read of the terminal that nobody waits for must not keep the process.
    runtime.shutdown_background();
    talked
}

async fn talk(args: &Args) -> anyhow::Result<()> {
    let mut config = args.source.load()?.config;
    config.check()?;
    let account = super::account(&config, &args.account)?;
    if account.platform != TERMINAL {
        return Err(
            Fault::new(Code::AccountNotFound, "This account is not of the platform `terminal`.").into()
        );
    }
    let tenant = account.tenant.clone();
    let user = TerminalUser {
        account: args.account.clone(),
        user: args.user.clone().unwrap_or_else(process::user),
        chat: args.chat.clone(),
    };
    // A conversation and a log on one terminal would be neither.
    config.telemetry.log = LogFormat::Off;
    let telemetry = Telemetry::install(&config.telemetry)?;
    let grace = config.server.grace();
    let opening = haversack::spawn_blocking(move || Engine::open(&config, telemetry, None, Role::Command));
    let engine = opening.await.map_err(Fault::internal)??;
    // Whoever has the folder can be anybody; the trail says who was.
    let row = AuditRow {
        actor: format!("cli:{}", process::user()),
        action: "gateway.terminal".to_owned(),
        tenant: Some(tenant),
        subject: Some(user.user.clone()),
        note: None,
        at: now_millis(),
    };
    engine.store().control().audit().append(row).await.map_err(Fault::from)?;
    let gateway = gateway::over(&engine);
    let served = serve(&gateway, &user, tokio::io::stdin(), tokio::io::stdout()).await;
    gateway.drain(grace).await;
    engine.close(grace).await?;
    let telemetry = engine.telemetry().clone();
    haversack::spawn_blocking(move || telemetry.flush()).await?;
    served.map_err(|error| match error {
        GatewayError::Io { source, .. } => source.into(),
        other => anyhow::Error::from(Fault::from(other)),
    })
}
