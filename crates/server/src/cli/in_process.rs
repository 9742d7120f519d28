//! Commands that work without a server: an engine on the local data folder, entered through the command line's door as
//! whoever the command names. It holds the folder while it works, and the audit trail says who entered it.

use std::time::Duration;

use haversack::Visit;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId};
use haversack_store::{AuditRow, now_millis};

use super::config::Source;
use crate::auth::name::check_name;
use crate::boundary::CLI;
use crate::config::{LogFormat, process};
use crate::engine::{Engine, Role};
use crate::problem::Fault;
use crate::telemetry::{Telemetry, trace};

/// As whom a command works in process. For commands to flatten.
#[derive(Debug, Clone, clap::Args)]
pub struct Who {
    /// Without a server: whose data.
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub tenant: String,
    /// Without a server: who works.
    #[arg(long, value_name = "NAME", default_value = "me")]
    pub principal: String,
}

/// Whether the log is written while a command works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// Not at all: what the command prints and a log on one terminal would be neither.
    Off,
    /// As configured, to standard error.
    Configured,
}

/// An engine and who enters it.
pub(super) struct InProcess {
    engine: Engine,
    tenant: TenantId,
    principal: Principal,
    grace: Duration,
}

impl InProcess {
    /// Opens the configured data folder, for `action` of the audit trail.
    ///
    /// # Errors
    /// A name outside the rules; the faults of [`Engine::open`], such as that a server holds the folder.
    pub(super) async fn open(
        source: &Source,
        who: &Who,
        action: &'static str,
        log: Log,
    ) -> anyhow::Result<Self> {
        check_name("tenant", &who.tenant)?;
        check_name("principal", &who.principal)?;
        let mut config = source.load()?.config;
        config.check()?;
        if log == Log::Off {
            config.telemetry.log = LogFormat::Off;
        }
        let telemetry = Telemetry::install(&config.telemetry).map_err(super::telemetry_refused)?;
        let grace = config.server.grace();
        let opening =
            haversack::spawn_blocking(move || Engine::open(&config, telemetry, None, Role::Command));
        let engine = opening.await??;
        // Whoever has the folder can be anybody; the trail says who was.
        let row = AuditRow {
            actor: format!("cli:{}", process::user()),
            action: action.to_owned(),
            tenant: Some(who.tenant.clone()),
            subject: Some(who.principal.clone()),
            note: None,
            at: now_millis(),
        };
        engine.store().control().audit().append(row).await.map_err(Fault::from)?;
        let (tenant, principal) = (TenantId::new(&*who.tenant)?, Principal::new(&*who.principal)?);
        Ok(Self { engine, tenant, principal, grace })
    }

    /// What is behind the door.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Enters, for one piece of work with a trace of its own.
    ///
    /// # Errors
    /// Where the machine gives no random bits.
    pub(super) fn enter(&self) -> Result<Visit, Fault> {
        let trace = trace::mint().map_err(Fault::internal)?;
        Ok(self.door()(Some(trace))?)
    }

    /// The door, for whoever enters often.
    pub(super) fn door(
        &self,
    ) -> impl Fn(Option<haversack::well_known::TraceContext>) -> Result<Visit, haversack::Refused>
    + Send
    + Sync
    + 'static
    + use<> {
        let (tenant, principal) = (self.tenant.clone(), self.principal.clone());
        move |trace| {
            CLI.enter(|bind| {
                bind.bind(&TENANT_ID, tenant.clone())
                    .bind(&PRINCIPAL, principal.clone())
                    .bind_some(&TRACE_CONTEXT, trace)
            })
        }
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
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime, where no frame is
mod tests {
    use haversack::testing::missing_paths;

    use super::*;

    #[tokio::test]
    async fn a_command_without_a_required_variable_is_refused_at_its_door() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("haversack.toml");
        std::fs::write(&config, "").unwrap();
        let source = Source { config: Some(config), data: Some(folder.path().join("data")) };
        let who = Who { tenant: "acme".to_owned(), principal: "kim".to_owned() };
        let here = InProcess::open(&source, &who, "look", Log::Off).await.unwrap();

        let report = missing_paths(&CLI).run(|| async { here.enter().map(drop) }).await;
        report.assert_loud();
        assert_eq!(report.variables(), ["tenant", "principal"]);
        here.close().await.unwrap();
    }
}
