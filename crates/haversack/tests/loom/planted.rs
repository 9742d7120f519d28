//! The faults that the models must find.

use std::cell::Cell;
use std::panic::catch_unwind;

/// One ordering that is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Who gives back does not publish what it did.
    GiveBackRelaxed,
    /// Who finds itself alone does not see what the others did.
    SoleRelaxed,
    /// Who counts to nothing does not see what the others did.
    LastLoadMissing,
}

thread_local! {
    // Loom's threads are coroutines of the thread that runs the model.
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

pub(crate) fn planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Whether some interleaving of the model ends in a panic of loom's.
fn finds(fault: Fault, model: fn()) -> bool {
    PLANTED.set(Some(fault));
    let outcome = catch_unwind(model);
    PLANTED.set(None);
    let said = outcome.err().map(|thrown| match thrown.downcast::<String>() {
        Ok(text) => *text,
        Err(thrown) => (*thrown.downcast::<&str>().unwrap_or_default()).to_owned(),
    });
    said.is_some_and(|said| said.contains("Causality violation"))
}

#[test]
fn a_decrement_that_publishes_nothing_is_found() {
    assert!(finds(Fault::GiveBackRelaxed, crate::let_go));
    assert!(finds(Fault::GiveBackRelaxed, crate::change_in_place));
}

#[test]
fn a_sole_holder_that_sees_nothing_is_found() {
    assert!(finds(Fault::SoleRelaxed, crate::change_in_place));
}

#[test]
fn a_last_holder_that_sees_nothing_is_found() {
    assert!(finds(Fault::LastLoadMissing, crate::let_go));
}
