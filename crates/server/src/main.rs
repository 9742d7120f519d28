//! The binary `haversack`. It is one line on purpose: everything it does is in the library target, so that
//! tests and benchmarks run the same code. Nothing but the operating system calls it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // A launcher becomes a command, and needs nothing of what comes after.
    haversack_child::launch::run(std::env::args_os()).unwrap_or_else(haversack_server::cli::main)
}
