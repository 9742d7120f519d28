//! Messages from many platforms, each answered where it came from, as whoever sent it.
//!
//! The one primary type is [`Gateway`]: platforms hand messages in, it settles who wrote them and to which conversation they
//! belong, and calls the program's [`Responder`] inside a door that has bound all of it. What is said goes through a ledger,
//! along the [`ReplyRoute`] that was captured when the message arrived. Nothing here remembers where anybody was last seen.
//!
//! ```no_run
//! use std::sync::Arc;
//! use haversack_gateway::platform::webhook::{self, SigningSecret};
//! use haversack_gateway::{Account, Accounts, Arrival, Desk, Gateway, GatewayOptions, Reply, Responder, Responding};
//! use haversack_store::{KeyFile, Store, StoreOptions};
//!
//! struct Echo;
//!
//! impl Responder for Echo {
//!     fn respond(&self, arrival: Arrival) -> Responding {
//!         // Tenant, principal, session and every variable of `session` are bound here.
//!         Box::pin(async move {
//!             let said = arrival.message().map(|message| message.text.clone()).unwrap_or_default();
//!             Ok(Reply::new(said))
//!         })
//!     }
//! }
//!
//! # async fn run(shutdown: impl Future<Output = ()> + Send) -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("data".as_ref(), StoreOptions::default())?;
//! let keys = KeyFile::open("keys".as_ref(), "data".as_ref())?;
//! // Whose an account is and who may speak is configuration, and nothing that code chooses.
//! let configured = r#"{ "name": "shop", "platform": "webhook", "tenant": "acme", "users": { "u-1": "kim" } }"#;
//! let mut shop: Account = serde_json::from_str(configured)?;
//! shop.webhook.secrets = vec![SigningSecret::parse("whsec_c2l4dGVlbiBieXRlcyBvciBtb3Jl")?];
//! let accounts = Accounts::new([shop])?;
//! let desk = Desk::new(store, keys, accounts, webhook::client().build()?, [], GatewayOptions::default())?;
//! let gateway = Gateway::new(desk, Arc::new(Echo));
//! let routes = webhook::router(gateway.clone()); // for the program's server
//! gateway.run(shutdown).await; // delivers, runs schedules
//! # let _ = routes; Ok(()) }
//! ```
//!
//! # The way of a message
//! A platform checks what is its own (a signature, a key). Then, in this order: sizes, account, sender, whether the message
//! was taken before, identity, the door `gateway`, and the lane of its conversation. The turn enters the door once more, whole,
//! in a task of its own. Its answer is committed to the ledger under the context of the turn, and delivered from there.
//!
//! # Map
//! - [`session`]: what is known about a message, as context variables; [`door`]: where they are bound;
//! - [`account`], [`policy`], [`message`]: who may speak, which conversation it is, and what a message is;
//! - [`platform`]: webhooks, sockets, terminals, and the trait for more;
//! - [`Desk`]: what outlives a turn: [`ledger`], [`cron`], [`process`], [`approval`];
//! - [`tool`]: what a model may do with it.
//!
//! # Not here
//! No agent: the program answers. No platform that needs a vendor's client. Schedules know UTC only. Who waits on the line for
//! an answer, and is reached in no other way, sends the message again when the process dies.

#![forbid(unsafe_code)]

pub mod account;
pub mod approval;
mod arrivals;
pub mod cron;
mod deferred;
mod desk;
pub mod door;
mod error;
mod gateway;
mod hooks;
pub mod ledger;
pub mod message;
pub mod platform;
pub mod policy;
pub mod process;
mod resume;
mod route;
pub mod session;
pub mod tool;
mod turn;

pub use account::{Account, Accounts, Busy, Grant, Unknown};
pub use desk::{Desk, GatewayOptions};
pub use error::GatewayError;
pub use gateway::{Gateway, Incoming, Rate, Receipt, Taken};
pub use hooks::{DeliveryWork, Hooks};
pub use message::Message;
pub use policy::{KeyPolicy, SessionKey};
pub use route::ReplyRoute;
pub use turn::{Arrival, Reply, Responder, Responding, Unanswered};
