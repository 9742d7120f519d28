//! The HTTP boundary: routes, authentication, limits, problems, event streams. A request passes the outermost
//! layer (request id, panics, problems), the key, the tenant's rate limit and the door, in this order; only
//! then a handler runs, and it reads who is asking from the context. [`crate::Server`] serves the router.

mod access;
mod audit;
mod deliveries;
mod gateway;
mod health;
mod jobs;
mod json;
mod limits;
mod listener;
mod mcp;
mod metered;
mod openapi;
mod outermost;
mod oversight;
mod pipelines;
mod prefer;
mod room;
mod router;
mod schema;
mod sessions;
mod sse;
mod status;
mod streams;
mod traces;
mod turns;
mod wire;

pub use openapi::document as openapi_document;
pub use wire::{SessionList, TurnRequest, TurnState, TurnStateStatus};

pub(crate) use listener::{Listener, Serving};
pub(crate) use pipelines::output::PrintedView;
pub(crate) use room::Bounds;
pub(crate) use router::{metrics_router, router};
pub(crate) use wire::plain_id;

use std::sync::Arc;
use std::time::Instant;

use haversack_agent::agent::Secret;
use haversack_gateway::Rate;

use crate::auth::{Caller, Keyring};
use crate::config::{Gateway, Jobs, Limits, Server, resolve};
use crate::engine::Engine;
use crate::problem::Fault;
use limits::TenantRates;
use streams::Streams;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    keyring: Keyring,
    rates: Arc<TenantRates>,
    streams: Arc<Streams>,
    /// Bytes of one message of a webhook.
    message_bytes: usize,
    /// Names of the headers that jobs take along.
    carried: Vec<String>,
    /// Tools that may be posted as jobs besides those for the background.
    posted: Vec<String>,
    /// Callers whose traces go on here, as `tenant/principal`.
    trusted: Vec<String>,
    /// The metrics have a listener of their own.
    metrics_apart: bool,
    /// The bearer token that they demand.
    metrics_token: Option<Secret>,
    started: Instant,
}

impl App {
    pub(crate) fn new(
        engine: Engine,
        limits: Limits,
        jobs: &Jobs,
        messages: &Gateway,
        trusted: Vec<String>,
        server: &Server,
    ) -> Result<Self, Fault> {
        let keyring = engine.keyring().clone();
        let rates = Arc::new(TenantRates::new(limits.requests_per_second, limits.burst));
        let streams = Arc::new(Streams::new(limits.event_streams));
        let message_bytes = messages.body_bytes;
        let (carried, posted) = (jobs.headers.clone(), jobs.tools.clone());
        let metrics_apart = server.metrics_bind.is_some();
        let metrics_token = server.metrics_token.as_ref().map(resolve).transpose()?;
        Ok(Self(Arc::new(Parts {
            engine,
            limits,
            keyring,
            rates,
            streams,
            message_bytes,
            carried,
            posted,
            trusted,
            metrics_apart,
            metrics_token,
            started: Instant::now(),
        })))
    }

    /// Whether this caller's trace goes on here.
    fn trusts(&self, caller: &Caller) -> bool {
        let (tenant, principal) = (caller.tenant.as_str(), caller.principal.as_str());
        self.trusted.iter().any(|trusted| trusted.split_once('/') == Some((tenant, principal)))
    }

    /// The rate that a tenant's messages are taken from, which is that of its requests.
    pub(crate) fn rate(&self) -> Rate {
        let rates = self.rates.clone();
        Arc::new(move |tenant| rates.take(tenant))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
