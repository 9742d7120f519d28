//! MCP over a pair of streams, such as standard input and output.
//!
//! One connection is one client, whom the program knows by other means: whoever started the process, or holds a socket. So
//! the program enters a door of its own for each message, and the handler takes the caller from there.

use std::sync::Arc;

use haversack::{Refused, Visit};
use rmcp::ServiceExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::McpServer;
use super::handler::{Handler, Source};

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

impl McpServer {
    /// Serves one client over these streams until it closes them, or until [`close`](Self::close).
    ///
    /// `enter` is called for each message and enters a door that binds tenant and principal, and a session where there is
    /// one; its visit stays open as long as the message is worked on. Nothing else may write to `write`: the log of a
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
        enter: impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static,
    ) -> Result<(), ServeError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let handler = Handler::new(self, Source::Program(Arc::new(enter)));
        let closing = self.parts.closing.child_token();
        // The connection outlives whatever the caller of this function works on.
        let running = haversack::detached(handler.serve_with_ct((read, write), closing)).await;
        let running = running.map_err(|error| ServeError::Begin(Box::new(error)))?;
        running.waiting().await.map(drop).map_err(|error| ServeError::Broke(Box::new(error)))
    }

    /// [`serve`](Self::serve) over standard input and output of this process.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_stdio(
        &self,
        enter: impl Fn() -> Result<Visit, Refused> + Send + Sync + 'static,
    ) -> Result<(), ServeError> {
        self.serve(tokio::io::stdin(), tokio::io::stdout(), enter).await
    }
}
