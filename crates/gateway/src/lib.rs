//! Message gateway on Haversack: platforms, sessions, reply routes and a delivery ledger
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
pub mod ledger;
pub mod message;
pub mod platform;
pub mod policy;
pub mod process;
mod route;
pub mod session;
pub mod tool;
mod turn;

pub use account::{Account, Accounts, Busy, Grant, Unknown};
pub use desk::{Desk, GatewayOptions};
pub use error::GatewayError;
pub use gateway::{Gateway, Incoming, Receipt, Taken};
pub use message::Message;
pub use policy::{KeyPolicy, SessionKey};
pub use route::ReplyRoute;
pub use turn::{Arrival, Reply, Responder, Responding, Unanswered};
