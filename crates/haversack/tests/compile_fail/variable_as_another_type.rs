//! A variable is invariant in its type: were it not, a value could be read as what it is not.
use haversack::ContextVar;

static CALLBACK: ContextVar<for<'a> fn(&'a str)> = ContextVar::new("callback");

fn main() {
    let narrower: &'static ContextVar<fn(&'static str)> = &CALLBACK;
    let _ = narrower.get();
}
