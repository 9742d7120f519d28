//! WebSockets: a platform for clients that stay connected, and come back.
//!
//! A client is known by what its request brought (the program decides how), says which chats it listens to, and gets answers
//! and what waited for it while it was away. A chat belongs to the principal who opened it. The program mounts [`router`];
//! the ledger sends.

mod config;
mod receive;
mod send;

pub(crate) use config::chat_of;
pub use config::{Authenticate, Held, Peer};
pub use receive::{KEY_ENDED, router};
pub(crate) use send::{Connections, Sender};

/// The name of the platform, and of the account of a tenant that configured none.
pub const WEBSOCKET: &str = "websocket";
