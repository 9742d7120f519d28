//! Durable background jobs: work that is asked for in one context and done in the same one, later, in any process.
//!
//! The primary types are [`Jobs`], through which any code inside a door submits a [`NewJob`], and [`Worker`], which does
//! them by a table of [`Handlers`]. Submitting captures the context by the program's manifest and seals it together with
//! the arguments; the worker opens that, begins from nothing, and enters the context again before the handler runs.
//! No function here takes a tenant: whose job it is, is read from the context.
//!
//! ```no_run
//! use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
//! use haversack::{Manifest, manifest};
//! use haversack_jobs::{Args, Failure, Handlers, JobOptions, Jobs, NewJob, Worker, WorkerOptions};
//!
//! /// What travels with a job: one static, one place to review.
//! static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID];
//!
//! async fn greet(Args(name): Args<String>) -> Result<String, Failure> {
//!     // The submitter's tenant, in whichever process this runs.
//!     TENANT_ID.with(|tenant| tracing::info!(%tenant, "greeting"))?;
//!     Ok(format!("hello {name}"))
//! }
//!
//! # async fn program(
//! #     store: haversack_store::Store,
//! #     keys: haversack_store::KeyFile,
//! #     shutdown: impl Future<Output = ()> + Send + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let jobs = Jobs::new(store, keys, &OUT, JobOptions::default());
//! let worker = Worker::new(jobs.clone(), Handlers::new().on("greet", greet), WorkerOptions::default());
//! haversack::spawn_detached(worker.run(shutdown));
//!
//! // Inside a door:
//! let submitted = jobs.submit(NewJob::new("greet", &"Ada")?.key("greet Ada")).await?;
//! if let Some(id) = submitted.id() {
//!     let outcome = jobs.wait(id).await?;
//!     assert_eq!(outcome.into_result::<String>()?.as_deref(), Some("hello Ada"));
//! }
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! * A job is done at least once. Each time it is handed out under a lease; a worker that dies loses the lease, and another
//!   takes over. A worker that lost one without noticing can write nothing, and its handler can hand the fencing token
//!   ([`current::Attempt::generation`]) on to systems that check it.
//! * A job that kills its workers is put into quarantine after so many deliveries.
//! * What cannot be opened or restored never runs: it fails, or it is parked for a newer program.
//! * Context, arguments, results and words are stored sealed. In the clear stand the ids of tenant and principal, names,
//!   times and numbers.
//! * A job is shown to its owner, tenant and principal, and to nobody else.
//!
//! # Map
//! [`Jobs`] and [`NewJob`] (asking), [`Jobs::enqueue`] (asking together with a change of the tenant's data), [`Job`],
//! [`Outcome`] and [`JobWatch`] (looking), [`Handlers`], [`FromJob`] and [`Failure`] (doing), [`Worker`] (the engine),
//! [`current`] and [`carried`] (the variables of this crate).
//!
//! # Not here
//! No schedules: whoever ticks submits, under a principal of its own. No exactly-once: pass a key to what must not happen
//! twice. No view over all tenants.

#![forbid(unsafe_code)]

mod backend;
pub mod carried;
mod client;
pub mod current;
mod error;
mod extract;
mod failure;
mod handler;
mod job;
mod outbox;
mod policy;
mod progress;
mod queue;
mod random;
mod sealed;
mod state;
mod watched;
mod worker;

pub use backend::sqlite::oldest_live;
pub use carried::{AccessToken, Credential, Headers};
pub use client::{Cursor, Page};
pub use current::Attempt;
pub use error::JobError;
pub use extract::{Args, Dependency, Depends, FromJob, Invocation, TimeLimit};
pub use failure::{Class, Failure};
pub use handler::{Answer, AttemptWork, Finished, Handler, HandlerOptions, Handlers};
pub use job::{DEFAULT_QUEUE, InvalidJobId, JobId, NewJob, Submitted};
pub use policy::{Backoff, ExpiredToken, Mint, MintFuture, OnExisting, Permission};
pub use progress::{JobWatch, LostLease, Progress};
pub use queue::{JobOptions, Jobs};
pub use state::{FailureKind, Job, Outcome, State, Step};
pub use worker::{Worker, WorkerOptions};
