//! Context that goes where the work goes.
#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs builds with a nightly, which shows the feature beside each item

#[cfg(not(target_has_atomic = "64"))]
compile_error!("haversack numbers entries and frames with 64-bit atomics, which this target does not have");

mod aside;
mod boundary;
mod cell;
mod context;
mod current;
mod description;
mod entry;
mod envelope;
mod error;
mod future;
mod in_frame;
#[cfg(any(feature = "propagator", feature = "snapshot"))]
mod listing;
mod origin;
mod policy;
mod span;
mod tagged;
mod token;
mod var;

mod carry;

#[cfg(feature = "audit")]
pub mod audit;

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
#[cfg(any(feature = "io", feature = "futures-io"))]
pub mod io;
#[cfg(feature = "tower")]
pub mod layer;
#[cfg(feature = "mutants")]
#[doc(hidden)]
pub mod mutants;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "propagator")]
pub mod propagator;
#[cfg(feature = "sink")]
pub mod sink;
#[cfg(feature = "snapshot")]
pub mod snapshot;
#[cfg(feature = "stream")]
pub mod stream;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tracing")]
pub mod tracing;

pub use boundary::{Bindings, Boundary, Visit, Visited};
#[cfg(feature = "tokio")]
pub use carry::join_set::JoinSet;
#[cfg(feature = "rayon")]
pub use carry::rayon;
#[cfg(feature = "tokio")]
pub use carry::task_tracker::TaskTracker;
pub use carry::thread;
#[cfg(feature = "tokio")]
pub use carry::tokio::{
    block_on, spawn, spawn_blocking, spawn_blocking_on, spawn_detached, spawn_local, spawn_on,
};
pub use carry::wrap::{wrap, wrap_fn, wrap_mut, wrap_once};
pub use context::Context;
pub use description::{BindingInfo, Description};
pub use entry::Entry;
pub use envelope::Enveloped;
pub use error::{ForeignContext, MissingContext, NoFrame, Reason, Refused, ResetError};
#[cfg(feature = "axum")]
pub use extract::CurrentContext;
pub use future::{FutureExt, Scope, WithContext, detached};
#[cfg(feature = "tower")]
pub use layer::ContextLayer;
pub use policy::{Crossing, Policy};
#[cfg(feature = "sink")]
pub use sink::{SinkExt, SinkWithContext};
#[cfg(feature = "snapshot")]
pub use snapshot::{
    CaptureError, KeyInfo, Keyring, KeyringError, KeyringText, Manifest, OpenError, RestoreError, SealError,
    SealedFor, Snapshot,
};
#[cfg(feature = "stream")]
pub use stream::{StreamExt, StreamWithContext};
pub use token::Token;
pub use var::{Anywhere, AtDoor, ContextVar, Variable};

/// The programs of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
