//! A list of words holds no headers.
use haversack::propagator::{Extract, Inject};

fn reads(_: &impl Extract) {}
fn writes(_: &mut impl Inject) {}

fn main() {
    reads(&["traceparent"]);
    writes(&mut 1);
}
