//! What the program adds to the gateway's work: a trace for what arrives, something around each delivery, and who is alive.
//!
//! All are given once, in [`GatewayOptions`](crate::GatewayOptions), and shared by everything that the gateway does. The
//! identity of a message takes a trace, and the ledger calls [`Hooks::around`] inside the context of each delivery.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use haversack::well_known::TraceContext;

/// One attempt of a delivery.
pub type DeliveryWork<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

type Around = dyn for<'a> Fn(&str, DeliveryWork<'a>) -> DeliveryWork<'a> + Send + Sync;

/// Which processes are alive. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Presence {
    name: Arc<str>,
    alive: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Presence {
    /// This process under a name of its own, and nobody else.
    pub(crate) fn alone(name: &str) -> Self {
        Self { name: name.into(), alive: Arc::new(|_| false) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a process is alive, this one too. Blocks.
    pub(crate) fn is_alive(&self, name: &str) -> bool {
        name == &*self.name || (self.alive)(name)
    }
}

/// What the program adds. Nothing by default.
#[derive(Clone, Default)]
pub struct Hooks {
    trace: Option<fn() -> Option<TraceContext>>,
    presence: Option<Presence>,
    around: Option<Arc<Around>>,
}

impl Hooks {
    /// Begins a trace for each message that arrives and each schedule that is due. Turns, and whatever they cause, are part
    /// of it.
    #[must_use]
    pub fn trace(mut self, begin: fn() -> Option<TraceContext>) -> Self {
        self.trace = Some(begin);
        self
    }

    /// Wraps each attempt of a delivery; it is given the delivery's id, and called in the context of whoever said it. The work
    /// must be awaited to its end: what is dropped is sent once more, with the mark.
    #[must_use]
    pub fn around(
        mut self,
        around: impl for<'a> Fn(&str, DeliveryWork<'a>) -> DeliveryWork<'a> + Send + Sync + 'static,
    ) -> Self {
        self.around = Some(Arc::new(around));
        self
    }

    /// Names this process, and says whether another one of a name is alive: what a living process works on is left to it. Without
    /// it every other process is taken for dead. `alive` may block.
    #[must_use]
    pub fn process(mut self, name: &str, alive: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.presence = Some(Presence { name: name.into(), alive: Arc::new(alive) });
        self
    }

    pub(crate) fn presence(&self) -> Option<Presence> {
        self.presence.clone()
    }

    pub(crate) fn begin(&self) -> Option<TraceContext> {
        self.trace.and_then(|begin| begin())
    }

    pub(crate) fn wrap<'a>(&self, id: &str, work: DeliveryWork<'a>) -> DeliveryWork<'a> {
        match &self.around {
            Some(around) => around(id, work),
            None => work,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}
