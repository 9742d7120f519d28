//! The inbox: the other side of a platform, where the gateway's answers arrive. It takes whatever is posted to it, at a
//! path a conversation, and says yes to all of it; whether an answer came to the right place is for the searches to judge.
//! The stage opens it before the product is configured, because the product is told where it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::leakcheck::canary::Cell;

/// An answer, and where it was posted to.
pub(in crate::leakcheck) struct Letter {
    pub(in crate::leakcheck) path: String,
    pub(in crate::leakcheck) headers: HeaderMap,
    pub(in crate::leakcheck) body: Bytes,
}

impl Letter {
    pub(in crate::leakcheck) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(in crate::leakcheck) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

pub(in crate::leakcheck) struct Inbox {
    address: SocketAddr,
    letters: UnboundedReceiver<Letter>,
    serving: AbortHandle,
}

impl Inbox {
    /// Opens one on a free port of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for an inbox")?;
        let address = listener.local_addr()?;
        let (sender, letters) = unbounded_channel();
        let routes = Router::new().fallback(post(take)).with_state(sender);
        let serving = haversack::spawn_detached(async move {
            // It ends with the stage; until then there is nothing that it could fail of.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, letters, serving: serving.abort_handle() })
    }

    /// The scheme and the address, as a configuration allows them.
    pub(in crate::leakcheck) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the answers to a conversation are wanted.
    pub(in crate::leakcheck) fn path_of(cell: Cell) -> String {
        format!("/{}/{}", cell.tenant, cell.session)
    }

    /// The next answer; none when nothing comes for so long.
    pub(in crate::leakcheck) async fn next(&mut self, patience: Duration) -> Option<Letter> {
        tokio::time::timeout(patience, self.letters.recv()).await.ok().flatten()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(sender): State<UnboundedSender<Letter>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match sender.send(Letter { path: uri.path().to_owned(), headers, body }) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::GONE,
    }
}
