//! The agent runtime behind HTTP: doors, keys, live turns, telemetry and the command line. A request enters a
//! context at one of the doors in [`boundary`], and everything after it reads tenant and principal from that
//! context alone. The binary calls [`cli::main`]; tests and benchmarks start a whole [`Server`] in process.
#![forbid(unsafe_code)]

pub mod auth;
pub mod boundary;
pub mod cli;
pub mod code;
pub mod config;
pub mod confine;
mod descriptors;
pub mod engine;
mod gateway;
pub mod http;
pub mod leakcheck;
pub mod mcp;
pub mod operator;
mod panics;
pub mod problem;
pub mod server;
pub mod telemetry;
mod tls;
pub mod turns;
pub mod work;

pub use server::Server;
