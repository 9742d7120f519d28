//! Who is on the other end of a socket: what the program finds out from the request, before the connection begins.

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
/// keys.
pub type Authenticate = Arc<dyn Fn(HeaderMap) -> Pin<Box<dyn Future<Output = Option<Peer>> + Send>> + Send + Sync>;

/// The chat of a principal: two people may use one word for two chats. The length keeps the parts apart.
pub(super) fn chat_of(principal: &Principal, chat: &str) -> String {
    format!("{}:{principal}/{chat}", principal.as_str().len())
}
