//! A variable is identified by its static: a local one would end before its bindings do.
use haversack::{Boundary, Context, ContextVar};

fn main() {
    let locale: ContextVar<u32> = ContextVar::new("locale");
    let _ = locale.get();
    let other: ContextVar<u32> = ContextVar::new("other");
    let _ = Context::empty().bind(&other, 1);
    let door = Boundary::new("door");
    let _ = door.enter(|bindings| bindings);
}
