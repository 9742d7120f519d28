//! The leak check: 20 tenants with 10 sessions each talk to one server at once, ask the same questions under the same
//! session names and idempotency keys, and no canary may come out on another tenant's side, in any of the places where
//! it could: replies, recall, session cache, history, spans, logs, error texts, metrics, raw files, handles.
//!
//! The server runs in a child process (the test binary again), so that its log is captured whole and a planted fault
//! stays in there. [`run`] is the parent's side, [`probe`] the child's.

mod canary;
mod child;
mod client;
mod files;
mod handles;
mod probe;
mod talk;

pub(crate) use child::run;
pub(crate) use probe::main as probe;

/// How many turns one run takes when every one is answered.
pub(crate) const TURNS: usize = canary::TENANTS * canary::SESSIONS * 4;
