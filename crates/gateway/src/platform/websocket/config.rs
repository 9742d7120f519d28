//! Who is on the other end of a socket: what the program finds out from the request, before the connection begins.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use haversack::well_known::{Principal, TenantId};
use http::HeaderMap;

/// A client that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whose data it may touch.
    pub tenant: TenantId,
    /// Who it is.
    pub principal: Principal,
}

/// Recognises a client from the headers of its request, or refuses it with `None`. Given by the program, which knows its
/// keys. It is asked once more for each frame, so that what no longer opens a door ends the connection too.
pub type Authenticate =
    Arc<dyn Fn(HeaderMap) -> Pin<Box<dyn Future<Output = Option<Peer>> + Send>> + Send + Sync>;

/// What the program wants to be kept for as long as a socket is open, such as its place among the connections. Put it among the
/// extensions of the request; it is dropped when the socket ends.
#[derive(Clone)]
pub struct Held(#[expect(dead_code, reason = "it is held, and dropped")] Arc<dyn Any + Send + Sync>);

impl Held {
    /// Holds this.
    #[must_use]
    pub fn new(what: Arc<dyn Any + Send + Sync>) -> Self {
        Self(what)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// The chat of a principal: two people may use one word for two chats.
pub(crate) fn chat_of(principal: &Principal, chat: &str) -> String {
    joined(principal.as_str(), chat)
}

/// The id of a message: the client's own ids are unique within its chat only.
pub(super) fn in_chat(chat: &str, id: &str) -> String {
    joined(chat, id)
}

/// Returns the client's own name for a chat of [`chat_of`] or a message of [`in_chat`].
pub(super) fn said(name: &str) -> &str {
    let behind = || {
        let (length, rest) = name.split_once(':')?;
        rest.get(length.parse::<usize>().ok()?..)?.strip_prefix('/')
    };
    behind().unwrap_or(name)
}

/// Two parts as one name. The length keeps them apart, whatever is in them.
fn joined(first: &str, second: &str) -> String {
    format!("{}:{first}/{second}", first.len())
}
