//! Pipelines on Haversack: isolated runs, steps in child processes, an append-only run log

#![forbid(unsafe_code)]
