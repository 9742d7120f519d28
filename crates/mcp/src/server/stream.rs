//! MCP over a pair of streams, such as standard input and output.
//!
//! One connection is one client, whom the program knows by other means: whoever started the process, or holds a socket. So
//! the program enters a door of its own for each message, and the handler takes the caller from there.

use std::sync::Arc;

use haversack::{Refused, Visit};
use rmcp::ServiceExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::McpServer;
use super::handler::{Handler, NAMED, Source};
use super::lines::Lines;

/// Why a connection ended otherwise than by its client closing it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client said something else than the protocol's first words.
    #[error("the client did not begin an MCP connection")]
    Begin(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The task that served it ended early.
    #[error("the MCP connection broke off")]
    Broke(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The session of a connection, for messages that name none.
#[derive(Debug, Clone)]
pub struct SessionName(Arc<str>);

impl SessionName {
    /// The session that a client over HTTP gets which names it so in the header
    /// [`SESSION_HEADER`](crate::SESSION_HEADER).
    #[must_use]
    pub fn chosen(name: impl AsRef<str>) -> Self {
        Self(format!("{NAMED}{}", name.as_ref()).into())
    }

    /// A session that no other connection has.
    fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("connection:{:032x}", u128::from_be_bytes(bytes)).into()))
    }
}

impl McpServer {
    /// Serves one client over these streams until it closes them, or until [`close`](Self::close).
    ///
    /// `enter` is called for each message and enters a door that binds tenant and principal, and a session where there is
    /// one. Its visit stays open as long as the message is worked on. Messages that name no session are in `session`, or in one
    /// that this connection alone has. Nothing else may write to `write`: the log of a
    /// program that speaks MCP over standard output goes elsewhere.
    ///
    /// # Errors
    /// [`ServeError`] when the client does not speak the protocol.
    ///
    /// # Cancellation
    /// Dropping the future ends the connection; calls that run are cancelled.
    pub async fn serve<R, W>(
        &self,
        read: R,
        write: W,
        session: Option<SessionName>,
        enter: impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static,
    ) -> Result<(), ServeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let session = session.map_or_else(SessionName::fresh, Ok);
        let SessionName(connection) = session.map_err(|error| ServeError::Begin(Box::new(error)))?;
        let handler = Handler::new(self, Source::Program { enter: Arc::new(enter), connection });
        let closing = self.parts.closing.child_token();
        let lines = Lines::new(read, write, self.parts.options.line_bytes);
        // The connection outlives whatever the caller of this function works on.
        let running = haversack::detached(handler.serve_with_ct(lines, closing)).await;
        let running = running.map_err(|error| ServeError::Begin(Box::new(error)))?;
        running.waiting().await.map(drop).map_err(|error| ServeError::Broke(Box::new(error)))
    }

    /// [`serve`](Self::serve) over standard input and output of this process.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_stdio(
        &self,
        session: Option<SessionName>,
        enter: impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static,
    ) -> Result<(), ServeError> {
        self.serve(tokio::io::stdin(), tokio::io::stdout(), session, enter).await
    }
}
