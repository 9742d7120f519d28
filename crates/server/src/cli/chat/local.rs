//! A conversation without a server: an engine on the local data folder, entered through the command line's door. Each
//! message is one visit. Only `chat` uses it, and it holds the data folder while it talks.

use futures_util::StreamExt;
use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId};
use haversack_store::{AuditRow, now_millis};

use crate::auth::name::{check_name, session_name};
use crate::boundary::CLI;
use crate::cli::client::{Event, Reply};
use crate::cli::config::Source;
use crate::config::{LogFormat, process};
use crate::engine::{Engine, Role};
use crate::problem::Fault;
use crate::telemetry::{Telemetry, trace};
use crate::turns::{NewTurn, Patience};

/// An engine and who talks to it.
pub(super) struct Local {
    engine: Engine,
    tenant: TenantId,
    principal: Principal,
    grace: std::time::Duration,
}

impl Local {
    /// Opens the configured data folder.
    ///
    /// # Errors
    /// A name outside the rules; the faults of [`Engine::open`].
    pub(super) async fn open(source: &Source, tenant: &str, principal: &str) -> anyhow::Result<Self> {
        process::allow_session();
        check_name("tenant", tenant)?;
        check_name("principal", principal)?;
        let mut config = source.load()?.config;
        config.check()?;
        // A conversation and a log on one terminal would be neither.
        config.telemetry.log = LogFormat::Off;
        let telemetry = Telemetry::install(&config.telemetry)?;
        let grace = config.server.grace();
        let engine = haversack::spawn_blocking(move || Engine::open(&config, telemetry, None, Role::Command))
            .await??;
        // Whoever has the folder can be anybody; the trail says who was.
        let row = AuditRow {
            actor: format!("cli:{}", process::user()),
            action: "chat".to_owned(),
            tenant: Some(tenant.to_owned()),
            subject: Some(principal.to_owned()),
            at: now_millis(),
        };
        engine.store().control().audit().append(row).await.map_err(Fault::from)?;
        Ok(Self { engine, tenant: TenantId::new(tenant)?, principal: Principal::new(principal)?, grace })
    }

    /// Says one thing and waits for the reply; dropping the future cancels the turn after the tool that runs.
    ///
    /// # Errors
    /// The faults of the turn.
    pub(super) async fn say(
        &self,
        session: &str,
        text: &str,
        on_event: impl FnMut(&Event),
    ) -> Result<Reply, Fault> {
        let new =
            NewTurn { session: session_name(session)?, message: text.to_owned(), idempotency_key: None };
        self.enter()?.wrap(self.turn(new, on_event)).await
    }

    /// Ends the running turns, sends what telemetry holds, and gives the data folder back.
    ///
    /// # Errors
    /// The store's faults.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.engine.close(self.grace).await?;
        let telemetry = self.engine.telemetry().clone();
        haversack::spawn_blocking(move || telemetry.flush()).await?;
        Ok(())
    }

    fn enter(&self) -> Result<Visit, Fault> {
        let trace = trace::mint().map_err(Fault::internal)?;
        let entered = CLI.enter(|bind| {
            bind.bind(&TENANT_ID, self.tenant.clone())
                .bind(&PRINCIPAL, self.principal.clone())
                .bind(&TRACE_CONTEXT, trace)
        });
        Ok(entered?)
    }

    async fn turn(&self, new: NewTurn, mut on_event: impl FnMut(&Event)) -> Result<Reply, Fault> {
        let turn = self.engine.turns().submit(new)?;
        let _attached = turn.attach(Patience::None);
        let mut events = turn.events(0);
        while let Some(event) = events.next().await {
            on_event(&serde_json::from_str(&event.data).map_err(Fault::internal)?);
        }
        let reply = turn.outcome().await?;
        Ok(Reply { turn: turn.id().to_owned(), text: reply.text.clone(), agent: reply.agent.clone() })
    }
}
