//! Only a boundary mints an entry, and only what came through one is a visit.
use haversack::{Bindings, Boundary, Entry, Visit};

static DOOR: Boundary = Boundary::new("door");

fn main() {
    let visit = Visit { context: haversack::Context::empty() };
    let bindings = Bindings { boundary: &DOOR };
    let _ = Entry::default();
}
