//! Context that goes where the work goes.
#![doc = include_str!("lib.md")]

mod aside;
mod boundary;
mod cell;
mod context;
mod current;
mod description;
mod entry;
mod error;
mod future;
mod in_frame;
mod origin;
mod policy;
mod span;
mod token;
mod var;

mod carry;

pub mod env;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod strict;
pub mod well_known;

#[cfg(feature = "http-body")]
pub mod body;
#[cfg(feature = "canary")]
pub mod canary;
#[cfg(feature = "axum")]
pub mod extract;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(feature = "snapshot")]
pub mod snapshot;
#[cfg(feature = "stream")]
pub mod stream;
#[cfg(feature = "testing")]
pub mod testing;

pub use boundary::{Bindings, Boundary, Visit, Visited};
pub use carry::thread;
#[cfg(feature = "tokio")]
pub use carry::tokio::{JoinSet, block_on, spawn, spawn_blocking, spawn_detached, spawn_local};
pub use carry::wrap::{wrap, wrap_fn};
pub use context::Context;
pub use description::{BindingInfo, Description};
pub use entry::Entry;
pub use error::{ForeignContext, MissingContext, NoFrame, Reason, Refused, ResetError};
#[cfg(feature = "axum")]
pub use extract::CurrentContext;
pub use future::{FutureExt, Scope, WithContext, detached};
#[cfg(feature = "tower")]
pub use layer::ContextLayer;
pub use policy::{Crossing, Policy};
#[cfg(feature = "snapshot")]
pub use snapshot::{
    CaptureError, KeyInfo, Keyring, KeyringError, Manifest, OpenError, RestoreError, SealError, SealedFor,
    Snapshot,
};
#[cfg(feature = "stream")]
pub use stream::{StreamExt, StreamWithContext};
pub use token::Token;
pub use var::{Anywhere, AtDoor, ContextVar, Variable};
