//! The project's own commands, run as `cargo xtask <command>`. Each command is one module that drives cargo as
//! a person would, so that whatever it does can be repeated by hand from the line it prints. Nothing depends on
//! this crate.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "in a program without a library, `pub` says who reads it inside")]
#![allow(clippy::print_stdout, reason = "a command-line tool reports on its standard output")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod audit;
mod bench;
mod cases;
mod clients;
mod deep;
mod library;
mod lint;
mod peers;
mod steps;
mod test;
mod tidy;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the promises that no compiler checks: the dependency stair, doors, licences, documents
    Tidy {
        /// Also list the files that are long enough to look at twice
        #[arg(long)]
        lengths: bool,
    },
    /// Check formatting, clippy and the documentation build; a warning is an error
    Lint,
    /// Check what a user of the library alone gets: feature sets, what its interface names, its package
    Library,
    /// Run every test of the workspace
    Test {
        /// Also run what rebuilds the tree: the library alone in every feature set, its tests under loom, AddressSanitizer
        /// and ThreadSanitizer, the spawn audit, and the peers
        #[arg(long)]
        deep: bool,
        /// Run only the tests whose names contain one of these words
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Install the official MCP clients that the tests of the MCP endpoint drive; `test` does it by itself
    Clients,
    /// Run the server's cases against the program of an older commit, where each is to fail
    Cases {
        /// The commit
        #[arg(long, value_name = "COMMIT")]
        at: String,
    },
    /// Measure, and print a table
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Tidy { lengths } => tidy::run(lengths),
        Command::Lint => lint::run(),
        Command::Library => library::run(),
        Command::Test { deep, filter } => test::run(deep, &filter),
        Command::Clients => clients::run(),
        Command::Cases { at } => cases::run(&at),
        Command::Bench { what } => bench::run(&what),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
