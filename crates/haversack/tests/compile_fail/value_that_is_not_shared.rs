//! A value is seen by every thread that the work goes to: it must be `Send` and `Sync`.
use std::cell::Cell;
use std::rc::Rc;

use haversack::{Context, ContextVar};

static CELL: ContextVar<Cell<u32>> = ContextVar::new("cell");
static RC: ContextVar<Rc<u32>> = ContextVar::new("rc");

fn main() {
    let _ = CELL.with(|cell| cell.set(1));
    let _ = CELL.set(Cell::new(1));
    let _ = RC.get();
    let _ = Context::empty().bind(&RC, Rc::new(1));
}
