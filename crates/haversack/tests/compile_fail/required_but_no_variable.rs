//! What a boundary requires is a variable, not its value or its name, and its value can go to other threads.
use std::cell::Cell;

use haversack::{Boundary, ContextVar};

static COUNT: ContextVar<Cell<u32>> = ContextVar::new("count");

static BY_NAME: Boundary = Boundary::new("by name").requires(&[&"tenant"]);
static BY_VALUE: Boundary = Boundary::new("by value").requires(&[&COUNT]);

fn main() {
    let _ = (&BY_NAME, &BY_VALUE);
}
