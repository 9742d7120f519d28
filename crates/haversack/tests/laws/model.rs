//! The library beside a plain model of itself: random programs of scopes, runs, sets, resets and captures read
//! the same from both.

use std::collections::HashMap;

use haversack::{Context, ContextVar, ResetError, Token};
use proptest::prelude::*;

static VARIABLES: [ContextVar<u32>; 3] =
    [ContextVar::new("zero"), ContextVar::new("one"), ContextVar::new("two")];

#[derive(Clone, Debug)]
enum Step {
    Set {
        variable: usize,
        value: u32,
    },
    /// Resets one of the tokens made so far, of whatever frame.
    Reset {
        token: usize,
    },
    Scope {
        variable: usize,
        value: u32,
        inside: Vec<Step>,
    },
    Capture,
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
    /// Runs on another thread.
    Thread {
        inside: Vec<Step>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let variable = 0..VARIABLES.len();
    let leaf = prop_oneof![
        4 => (variable.clone(), 0..100_u32).prop_map(|(variable, value)| Step::Set { variable, value }),
        4 => (0..8_usize).prop_map(|token| Step::Reset { token }),
        1 => Just(Step::Capture),
    ];
    let step = leaf.prop_recursive(4, 48, 6, move |inner| {
        let inside = prop::collection::vec(inner, 0..6);
        prop_oneof![
            (variable.clone(), 0..100_u32, inside.clone())
                .prop_map(|(variable, value, inside)| Step::Scope { variable, value, inside }),
            (0..4_usize, inside.clone()).prop_map(|(context, inside)| Step::Run { context, inside }),
            (variable.clone(), inside.clone())
                .prop_map(|(variable, inside)| Step::Borrow { variable, inside }),
            inside.prop_map(|inside| Step::Thread { inside }),
        ]
    });
    prop::collection::vec(step, 0..10)
}

/// What the model knows of one binding: its value, and the set that made it.
type Bound = (u32, Option<Mark>);
type Bindings = HashMap<usize, Bound>;
/// Which set: the frame and its number there.
type Mark = (u32, u32);

#[derive(Default)]
struct World {
    frames: u32,
    sets: u32,
    contexts: Vec<(Context, Bindings)>,
    /// Each with its variable, the set that made it, and what it would restore.
    tokens: Vec<(Token<u32>, usize, Mark, Option<Bound>)>,
}

fn run(world: &mut World, frame: u32, bound: &mut Bindings, steps: &[Step]) {
    for step in steps {
        take(world, frame, bound, step);
        for (index, variable) in VARIABLES.iter().enumerate() {
            assert_eq!(variable.get().ok(), bound.get(&index).map(|(value, _)| *value), "after {step:?}");
        }
    }
}

fn take(world: &mut World, frame: u32, bound: &mut Bindings, step: &Step) {
    match step {
        Step::Set { variable, value } => {
            let token = VARIABLES[*variable].set(*value).unwrap();
            world.sets += 1;
            let mark = (frame, world.sets);
            let old = bound.insert(*variable, (*value, Some(mark)));
            world.tokens.push((token, *variable, mark, old));
        }
        Step::Reset { token } => {
            if world.tokens.is_empty() {
                return;
            }
            let (token, variable, mark, old) = world.tokens.swap_remove(token % world.tokens.len());
            let expected = match bound.get(&variable) {
                _ if mark.0 != frame => Err(ResetError::OtherContext),
                Some((_, Some(top))) if *top == mark => Ok(()),
                _ => Err(ResetError::OutOfOrder),
            };
            assert_eq!(token.reset(), expected);
            if expected.is_ok() {
                match old {
                    Some(old) => bound.insert(variable, old),
                    None => bound.remove(&variable),
                };
            }
        }
        Step::Scope { variable, value, inside } => {
            let mut inner = bound.clone();
            inner.insert(*variable, (*value, None));
            let frame = next_frame(world);
            VARIABLES[*variable].sync_scope(*value, || run(world, frame, &mut inner, inside));
        }
        Step::Capture => world.contexts.push((Context::current(), bound.clone())),
        Step::Run { context, inside } => {
            let empty = (Context::empty(), Bindings::new());
            let (context, mut inner) = world.contexts.get(*context).cloned().unwrap_or(empty);
            let frame = next_frame(world);
            context.run(|| run(world, frame, &mut inner, inside));
        }
        Step::Borrow { variable, inside } => {
            let before = bound.get(variable).map(|(value, _)| *value);
            let borrowed = VARIABLES[*variable].with(|value| {
                run(world, frame, bound, inside);
                *value
            });
            assert_eq!(borrowed.ok(), before, "what is borrowed stays as it is");
        }
        Step::Thread { inside } => {
            let mut inner = bound.clone();
            let frame = next_frame(world);
            haversack::thread::scope(|threads| {
                threads.spawn(|| run(world, frame, &mut inner, inside)).join().unwrap();
            });
        }
    }
}

fn next_frame(world: &mut World) -> u32 {
    world.frames += 1;
    world.frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_of_frames_reads_what_a_plain_model_reads(program in steps()) {
        let mut world = World::default();
        Context::empty().run(|| run(&mut world, 0, &mut Bindings::new(), &program));
        for variable in &VARIABLES {
            prop_assert!(variable.get().is_err());
        }
    }
}
