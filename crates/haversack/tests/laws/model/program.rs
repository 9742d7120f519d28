//! Random programs. A number that names a token, a context or a future counts among those that are there when the step
//! is taken; where there is none, the step does nothing.

use proptest::prelude::*;

use super::plain::{ANYWHERE, CONFINED};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Set {
        variable: usize,
        /// What the destructor of the value sets.
        then: Option<usize>,
    },
    /// Resets one of the tokens made so far, of whatever frame and task.
    Reset {
        token: usize,
    },
    /// Drops a token, so that its binding stays.
    Keep {
        token: usize,
    },
    Capture,
    Release {
        context: usize,
    },
    Scope {
        variable: usize,
        inside: Vec<Step>,
    },
    /// Runs inside one of the contexts captured so far, or inside the empty one.
    Run {
        context: usize,
        inside: Vec<Step>,
    },
    /// Runs while a value is borrowed.
    Borrow {
        variable: usize,
        inside: Vec<Step>,
    },
    /// Arrives at a door.
    Enter {
        inside: Vec<Step>,
    },
    /// Runs on another thread, handed over or bare.
    Thread {
        carried: bool,
        inside: Vec<Step>,
    },
    /// Runs, and catches what panics in it.
    Catch {
        inside: Vec<Step>,
    },
    /// Panics, up to whoever catches: a `Catch`, or whoever polls this future.
    Throw,
    /// Makes a future of steps, in wrappers, the innermost first.
    Make {
        wrappers: Vec<Wrapper>,
        inside: Vec<Step>,
    },
    /// Polls one of the futures that nobody is polling.
    Poll {
        future: usize,
    },
    Drop {
        future: usize,
    },
    /// In a future: not ready yet. Elsewhere nothing.
    Await,
    /// In a future: awaits one of the others. Elsewhere as `Poll`.
    Adopt {
        future: usize,
    },
    /// Drives a future to its end on a nested runtime.
    BlockOn {
        future: usize,
    },
    /// Inside of a nested runtime: gives a future to it as a task. Elsewhere nothing.
    Spawn {
        future: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wrapper {
    /// One of the contexts captured so far, or the empty one.
    Context(usize),
    InCurrent,
    Isolated,
    Detached,
    Scope(usize),
    Visit,
    /// A stream, each of whose items is one poll.
    Stream,
    /// A closure, which runs all of it at once, or is never called.
    Closure,
}

/// What the programs have to reach.
pub(super) const KINDS: &[&str] = &[
    "Set", "Reset", "Keep", "Capture", "Release", "Scope", "Run", "Borrow", "Enter", "Thread", "Catch",
    "Throw", "Make", "Poll", "Drop", "Await", "Adopt", "BlockOn", "Spawn",
];

impl Step {
    pub(super) fn kind(&self) -> String {
        let text = format!("{self:?}");
        text.chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    pub(super) fn inside(&self) -> &[Step] {
        match self {
            Self::Scope { inside, .. }
            | Self::Run { inside, .. }
            | Self::Borrow { inside, .. }
            | Self::Enter { inside }
            | Self::Thread { inside, .. }
            | Self::Catch { inside }
            | Self::Make { inside, .. } => inside,
            _ => &[],
        }
    }
}

/// Every variable that any code may bind.
fn variable() -> impl Strategy<Value = usize> + Clone {
    0..=CONFINED
}

fn wrapper() -> impl Strategy<Value = Wrapper> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Wrapper::Context),
        3 => Just(Wrapper::InCurrent),
        2 => Just(Wrapper::Isolated),
        1 => Just(Wrapper::Detached),
        4 => variable().prop_map(Wrapper::Scope),
        2 => Just(Wrapper::Visit),
        1 => Just(Wrapper::Stream),
        1 => Just(Wrapper::Closure),
    ]
}

fn leaf() -> impl Strategy<Value = Step> {
    let any = 0..8_usize;
    prop_oneof![
        6 => (variable(), prop::option::weighted(0.2, 0..ANYWHERE))
            .prop_map(|(variable, then)| Step::Set { variable, then }),
        4 => any.clone().prop_map(|token| Step::Reset { token }),
        1 => any.clone().prop_map(|token| Step::Keep { token }),
        2 => Just(Step::Capture),
        1 => any.clone().prop_map(|context| Step::Release { context }),
        1 => Just(Step::Throw),
        6 => any.clone().prop_map(|future| Step::Poll { future }),
        2 => any.clone().prop_map(|future| Step::Drop { future }),
        5 => Just(Step::Await),
        3 => any.clone().prop_map(|future| Step::Adopt { future }),
        2 => any.clone().prop_map(|future| Step::BlockOn { future }),
        2 => any.prop_map(|future| Step::Spawn { future }),
    ]
}

/// A program: steps in a context of its own.
pub(super) fn program() -> impl Strategy<Value = Vec<Step>> {
    let step = leaf().prop_recursive(4, 96, 8, |inner| {
        let inside = prop::collection::vec(inner, 0..8);
        let wrappers = prop::collection::vec(wrapper(), 0..3);
        prop_oneof![
            3 => (variable(), inside.clone()).prop_map(|(variable, inside)| Step::Scope { variable, inside }),
            2 => (0..4_usize, inside.clone()).prop_map(|(context, inside)| Step::Run { context, inside }),
            2 => (0..=CONFINED + 1, inside.clone())
                .prop_map(|(variable, inside)| Step::Borrow { variable, inside }),
            2 => inside.clone().prop_map(|inside| Step::Enter { inside }),
            1 => (any::<bool>(), inside.clone()).prop_map(|(carried, inside)| Step::Thread { carried, inside }),
            1 => inside.clone().prop_map(|inside| Step::Catch { inside }),
            8 => (wrappers, inside).prop_map(|(wrappers, inside)| Step::Make { wrappers, inside }),
        ]
    });
    prop::collection::vec(step, 0..16)
}
