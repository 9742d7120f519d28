//! Agents that answer for many tenants, each from its own memory.
//!
//! The one primary type is [`Agents`]: it makes a [`Turn`] from a message and the context it is called in,
//! and the turn's [`Reply`] is returned after it is committed. Nothing here takes a tenant, a principal or a
//! session: all three are bound at a door, and a turn made under one entry refuses to run under another.
//!
//! ```no_run
//! use std::sync::Arc;
//! use haversack_agent::{AgentConfig, Agents, EventSink, TurnRequest, model::Offline};
//! use haversack_memory::{Memory, MemoryOptions};
//! use haversack_store::{Store, StoreOptions};
//!
//! # async fn inside_a_door() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("data".as_ref(), StoreOptions::default())?;
//! let memory = Memory::new(store.clone(), MemoryOptions::default());
//! let agents = Agents::new(AgentConfig::default(), store, memory, Arc::new(Offline))?;
//!
//! // Inside a door that bound tenant, principal and session:
//! let request = TurnRequest { message: "Who is our account manager?".into(), idempotency_key: None };
//! let reply = agents.turn(request)?.run(EventSink::none()).await?;
//! println!("{}: {}", reply.agent, reply.text);
//! # Ok(()) }
//! ```
//!
//! # The way of a turn
//! `turn` records the message and checks the owner of the session, `supervisor` reads the session-learning
//! cache, recalls and chooses, `specialist` asks the model and runs tools in parallel, and the reply is
//! committed with the messages that led to it and the manifest of what the model read. Every step is a span
//! below the turn's own. Words that are added meanwhile ([`FurtherWords`]) are taken between the model calls.
//!
//! # Map
//! - [`agent`]: the configuration, with a JSON schema and embedded defaults;
//! - [`model`]: the streaming model contract, the offline rules, and providers over HTTP (feature `genai`);
//! - [`tool`]: the tool contract, typed tools, and the four that come with it;
//! - [`crew`]: tasks in an order, some at the same time, each in its own context; as a tool or alone;
//! - [`history`]: sessions and turns, append-only, read back by their owner;
//! - [`TurnEvent`] and [`EventSink`]: what a turn tells while it runs; [`TurnError`]: why it did not end
//!   well.
//!
//! # Not here
//! No HTTP, no queue of turns: the caller runs the turns of one session one after the other. No jobs: what
//! runs a background tool later is brought along. No memory of money spent, no approval of tools.

#![forbid(unsafe_code)]

pub mod agent;
mod agents;
pub mod clock;
mod computing;
pub mod crew;
mod error;
mod event;
pub mod history;
mod learning;
pub mod model;
mod prompt;
mod specialist;
mod supervisor;
pub mod tool;
mod turn;
mod words;

pub use agent::{AgentConfig, ConfigError};
pub use agents::{Agents, AgentsBuilder};
pub use error::TurnError;
pub use event::{EventSink, TurnEvent};
pub use history::History;
pub use learning::Promoted;
pub use turn::{
    FurtherWords, InvalidTurnId, Late, MOST_FURTHER, MemoryReport, Reply, ToolUse, Turn, TurnId, TurnRequest,
};
