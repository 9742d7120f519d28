//! A guide in pages: recipes, the sharp edges, and a page each for coming from something else. There is no code in
//! here; every snippet is compiled and run as a test of this crate.
//!
//! * [`for_applications`]: a service that knows its callers, from the door to the job at night.
//! * [`for_libraries`]: a crate that others use, and that must neither lose nor leak their context.
//! * [`sharp_edges`]: the four ways in which context goes wrong, and what stops each.
//! * [`beside_others`]: rayon, rmcp, rig, pools of connections, OpenTelemetry: what to write where work changes hands.
//! * Coming from [`tokio::task_local!`](from_task_local), [`tracing`](from_tracing),
//!   [OpenTelemetry](from_opentelemetry), [Python's `contextvars`](from_python), [Go's `context.Context`](from_go).

#[doc = include_str!("for_applications.md")]
#[cfg(all(feature = "tokio", feature = "snapshot", feature = "testing"))]
pub mod for_applications {}

#[doc = include_str!("for_libraries.md")]
#[cfg(feature = "tokio")]
pub mod for_libraries {}

#[doc = include_str!("sharp_edges.md")]
#[cfg(feature = "tokio")]
pub mod sharp_edges {}

#[doc = include_str!("beside_others.md")]
#[cfg(feature = "tokio")]
pub mod beside_others {}

#[doc = include_str!("from_task_local.md")]
#[cfg(feature = "tokio")]
pub mod from_task_local {}

#[doc = include_str!("from_tracing.md")]
#[cfg(all(feature = "tokio", feature = "tracing"))]
pub mod from_tracing {}

#[doc = include_str!("from_opentelemetry.md")]
#[cfg(all(feature = "tokio", feature = "opentelemetry"))]
pub mod from_opentelemetry {}

#[doc = include_str!("from_python.md")]
#[cfg(feature = "tokio")]
pub mod from_python {}

#[doc = include_str!("from_go.md")]
#[cfg(feature = "tokio")]
pub mod from_go {}
