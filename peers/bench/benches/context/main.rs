//! What the library's operations cost, beside other ways to carry a context, in one run.
//!
//! `cargo xtask bench context [-- ROUNDS]` prints two tables. All contestants of a row run by turns, because the
//! machine's speed drifts: the ratio is the number to read. With `--only WORD` only rows with that word are measured.

#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::print_stdout, clippy::disallowed_methods)] // a program that prints, and bare spawns are peers

mod measure;
mod parked;
mod peers;
mod python;
mod snapshots;
mod table;
mod tasks;
mod values;

use haversack::{Context, ContextVar};
use measure::{Contestant, Medians, Rounds};
use python::Python;
use table::Table;

static VARS: [ContextVar<u64>; 64] = [const { ContextVar::new("bench") }; 64];

/// A context with the first `n` variables bound.
fn bound(n: usize) -> Context {
    VARS[..n].iter().fold(Context::empty(), |context, var| context.bind(var, 7))
}

/// What every row needs.
struct Bench {
    rounds: Rounds,
    only: Option<String>,
    python: Python,
    table: Table,
}

impl Bench {
    /// Measures with `n` bound by everybody, and adds a row.
    fn row<'a>(
        &'a mut self,
        name: &str,
        n: usize,
        python: Option<&'static str>,
        target: impl FnOnce(&Medians) -> Option<f64>,
        contestants: impl FnOnce() -> Vec<Contestant<'a>>,
    ) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        let Self { rounds, python: child, table, .. } = self;
        let child = &*child;
        let medians = bound(n).run(|| {
            peers::bound(n, || {
                let mut all = contestants();
                all.extend(python.and_then(|operation| child.contestant(operation, n.max(1))));
                measure::measure(*rounds, all)
            })
        });
        table.row(name, medians, target(&medians));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    peers::register();
    if let Some(who) = parked::asked(&arguments) {
        return parked::answer(&who);
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(101);
    let only =
        arguments.iter().position(|word| word == "--only").and_then(|at| arguments.get(at + 1)).cloned();
    let subscriber = tracing_subscriber::registry();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        println!("another subscriber is there already: what follows says nothing about tracing");
    }
    // Every variable gets its id in order, so that `n` bound means the first `n` ids.
    drop(bound(64));

    let mut bench = Bench { rounds: Rounds(rounds), only, python: Python::start(), table: Table::default() };
    values::rows(&mut bench);
    tasks::rows(&mut bench);
    parked::rows(&mut bench);
    snapshots::rows(&mut bench);
    if let Some(version) = Python::version() {
        bench.table.note(format!("CPython is {version}; the cost of its empty loop is taken off."));
    }
    bench.table.note(
        "tokio holds one value whatever is bound. tracing reads a value that hangs in its registry at the span.",
    );
    print!("{}", bench.table);
}
