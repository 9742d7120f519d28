//! What the program adds to the gateway's work: a trace for what arrives, and something around each delivery.
//!
//! Both are given once, in [`GatewayOptions`](crate::GatewayOptions), and shared by everything that the gateway does. The
//! identity of a message takes a trace, and the ledger calls [`Hooks::around`] inside the context of each delivery.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use haversack::well_known::TraceContext;

/// One attempt of a delivery.
pub type DeliveryWork<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

type Around = dyn for<'a> Fn(&str, DeliveryWork<'a>) -> DeliveryWork<'a> + Send + Sync;

/// What the program adds. Nothing by default.
#[derive(Clone, Default)]
pub struct Hooks {
    trace: Option<fn() -> Option<TraceContext>>,
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
