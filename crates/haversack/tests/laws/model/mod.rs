//! The library beside a plain model of itself.
//!
//! A random program ([`program`]) of frames, sets, resets, threads, panics and futures is run on the library and on a
//! model of plain maps and stacks ([`plain`]) in step ([`world`], [`work`]). Futures are polled by whoever holds them:
//! from inside of other futures and of borrows, from other threads, by a nested runtime, as a stream's items, or never.
//! After each step, at each poll, and in each destructor every variable reads the same from both, with the same
//! reason where it is missing; every reset ends the same. In the end nothing is left on the thread, and every value
//! was dropped once.
//!
//! `PROPTEST_CASES` asks for more cases than a test run has time for.

mod plain;
mod program;
mod work;
mod world;

use proptest::prelude::*;

use program::{Step, program};
use world::World;

/// Takes some seconds in a debug build.
const CASES: u32 = 256;

fn config() -> ProptestConfig {
    // The environment has the last word, which a number in the code would take from it.
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_program_reads_what_a_plain_model_reads(program in program()) {
        prop_assert_eq!(World::run(&program), Ok(()));
    }
}

/// The model is worth nothing where programs do not reach what it is for.
#[test]
fn the_programs_reach_every_kind_of_step() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    fn kinds(steps: &[Step], seen: &mut std::collections::BTreeSet<String>) {
        for step in steps {
            seen.insert(step.kind());
            kinds(step.inside(), seen);
        }
    }
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        kinds(&program().new_tree(&mut runner).unwrap().current(), &mut seen);
    }
    for kind in program::KINDS {
        assert!(seen.contains(*kind), "no program has a step `{kind}`: {seen:?}");
    }
}
