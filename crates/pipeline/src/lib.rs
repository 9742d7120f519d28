//! Pipelines on Haversack: isolated runs, steps in child processes, an append-only run log.
//!
//! A [`Pipeline`] is a checked graph, from YAML or from the [`builder`]; [`Pipelines`] starts it as a run and executes the
//! run in the context of the caller, so that every step works for the tenant whose door was entered. Anyone inside a door
//! may call; no function takes a tenant.
//!
//! ```no_run
//! use haversack_pipeline::{Parameters, Pipeline, PipelineOptions, Pipelines, run::RunId};
//! # async fn inside_a_door(store: haversack_store::Store, keys: haversack_store::KeyFile)
//! # -> Result<(), haversack_pipeline::PipelineError> {
//! let pipelines = Pipelines::new(store, keys, PipelineOptions::new("data/pipelines"));
//! let pipeline = Pipeline::from_yaml("hello", "
//! dag:
//!   start_at: greet
//!   steps:
//!     greet: {type: task, command_type: shell, command: 'echo hello $name', parameters: [name], next: done}
//!     done: {type: success}
//! ")?;
//! let key = RunId::new("hello-2026-11-25")?;
//! let started = pipelines.start(&pipeline, Parameters::new().with("name", "Ada"), key).await?;
//! let ended = pipelines.execute(&started.run.entry.run).await?;
//! assert_eq!(ended.entry.status.exit_code(), 0);
//! # Ok(()) }
//! ```
//!
//! # What is kept apart
//! Each run has its own folder, catalog and log, and each attempt its own work folder. A child process inherits nothing of
//! our environment: it is given a fixed search path, and the parameters and secrets of its step, under names that the
//! author of the pipeline wrote and no caller adds to. Secrets are filtered out
//! of captured output and are written nowhere. A run is its principal's: a colleague's looks like one that never was.
//! Parameters, outputs and events are sealed where they are stored; files of the catalog and what steps print lie in the
//! run's folder as they are. All of it goes with the session in which the run was started, and with time.
//!
//! # What is not here
//! A sandbox: a child runs as our user, and may read what our user may read. Notebooks, containers and remote executors.
//!
//! # Map
//! [`node`] (the graph), [`builder`] and [`yaml`] (two ways to write it), [`check`] (what is wrong with it),
//! [`Pipelines`] (runs), [`run`] (names and variables), [`run_log`] (what happened), [`secrets`], [`StepRunner`] and
//! [`Functions`] (code of the program as steps).

#![forbid(unsafe_code)]

pub mod builder;
mod catalog;
pub mod check;
mod environment;
mod error;
pub mod node;
mod options;
mod parameters;
mod pipeline;
mod pipelines;
pub mod run;
pub mod run_log;
pub mod secrets;
mod step;
mod sweep;
pub mod yaml;

pub use catalog::FileRecord;
pub use error::PipelineError;
pub use options::PipelineOptions;
pub use parameters::Parameters;
pub use pipeline::Pipeline;
pub use pipelines::{Pipelines, Started};
pub use step::{
    Function, Functions, OutputPart, Printed, StepCall, StepFailure, StepFuture, StepLog, StepOutput,
    StepRunner,
};
