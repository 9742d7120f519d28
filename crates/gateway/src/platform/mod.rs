//! Platforms: how messages come in and answers go out.
//!
//! A [`Platform`] sends one part of one message along a route; receiving is each platform's own, because each is asked
//! differently. The three that come with the gateway have the same rooms: `config`, `receive`, `send`. The ledger sends,
//! inside the context of the delivery; a program may add platforms of its own.

pub(crate) mod chunk;
pub mod terminal;
pub mod webhook;
pub mod websocket;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::ReplyRoute;

/// A way to say something.
pub trait Platform: Send + Sync + 'static {
    /// The name that routes and accounts use.
    fn name(&self) -> &'static str;

    /// The longest part that it takes, in characters; at least 1.
    fn max_chars(&self) -> usize;

    /// Sends one part along a route. It is called inside the door `deferred`, with the tenant of the delivery bound: a
    /// platform refuses a route whose account belongs to somebody else.
    ///
    /// # Cancellation
    /// The future is dropped when its time is up; the ledger then does not know whether the part arrived.
    fn send(&self, route: ReplyRoute, part: Part) -> Sending;
}

/// The future of one part.
pub type Sending = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Unique for delivery and part, the same at each attempt: a receiver that keeps it sees repetitions.
    pub id: String,
    /// The words, with the mark where the part may be a repetition.
    pub text: String,
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// True when an earlier attempt was interrupted and may have arrived.
    pub again: bool,
}

/// Why a part was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It did not arrive, and may later.
    Later {
        /// When, where the platform said so.
        after: Option<Duration>,
    },
    /// It may have arrived, or not. The next attempt says so.
    Unsure,
    /// Nobody listens now. The platform asks for what waits when somebody does.
    Away,
    /// The platform will not take this part.
    Refused,
    /// Nobody is there any more.
    Gone,
}

/// The platforms of a gateway, by name. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Platforms {
    by_name: Arc<BTreeMap<&'static str, Arc<dyn Platform>>>,
}

impl Platforms {
    /// These; a later one replaces an earlier one of the same name.
    pub(crate) fn new(platforms: impl IntoIterator<Item = Arc<dyn Platform>>) -> Self {
        Self { by_name: Arc::new(platforms.into_iter().map(|platform| (platform.name(), platform)).collect()) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn Platform>> {
        self.by_name.get(name)
    }
}

impl fmt::Debug for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
