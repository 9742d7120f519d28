//! What a panic writes. Its message may hold what somebody said, so only fixed texts are logged, with the place and
//! never with a formatted message. `serve` installs it once; a panic in a request or a turn also becomes an answer.

use std::panic::PanicHookInfo;

/// Replaces the process's panic hook, which prints messages whole.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, message = fixed_text(panic), "a task panicked");
    }));
}

/// The message when it is a literal of the program; a formatted one is withheld.
fn fixed_text(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("<hidden>")
}
