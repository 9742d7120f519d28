//! A conversation without a server: each message is one visit to an engine in this process. Only `chat` uses it, and it
//! holds the data folder while it talks.

use futures_util::StreamExt;
use haversack_agent::FurtherWords;

use crate::auth::name::session_name;
use crate::cli::client::{Event, Reply};
use crate::cli::config::Source;
use crate::cli::in_process::{InProcess, Log, Who};
use crate::config::process;
use crate::problem::Fault;
use crate::turns::{NewTurn, Patience};

/// An engine and who talks to it.
pub(super) struct Local(InProcess);

impl Local {
    /// Opens the configured data folder.
    ///
    /// # Errors
    /// As [`InProcess::open`].
    pub(super) async fn open(source: &Source, who: &Who) -> anyhow::Result<Self> {
        process::allow_session();
        Ok(Self(InProcess::open(source, who, "chat", Log::Off).await?))
    }

    /// Says one thing and waits for the reply; dropping the future cancels the turn and its tools.
    ///
    /// # Errors
    /// The faults of the turn.
    pub(super) async fn say(
        &self,
        session: &str,
        text: &str,
        on_event: impl FnMut(&Event),
    ) -> Result<Reply, Fault> {
        let new = NewTurn {
            session: session_name(session)?,
            message: text.to_owned(),
            idempotency_key: None,
            further: FurtherWords::none(),
        };
        self.0.enter()?.wrap(self.turn(new, on_event)).await
    }

    /// Ends the running turns, sends what telemetry holds, and gives the data folder back.
    ///
    /// # Errors
    /// The store's faults.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.0.close().await
    }

    async fn turn(&self, new: NewTurn, mut on_event: impl FnMut(&Event)) -> Result<Reply, Fault> {
        let turn = self.0.engine().turns().submit(new)?;
        let _attached = turn.attach(Patience::None);
        let mut events = turn.events(0);
        while let Some(event) = events.next().await {
            on_event(&serde_json::from_str(&event.data).map_err(Fault::internal)?);
        }
        let reply = turn.outcome().await?;
        Ok(Reply { turn: turn.id().to_owned(), text: reply.text.clone(), agent: reply.agent.clone() })
    }
}
