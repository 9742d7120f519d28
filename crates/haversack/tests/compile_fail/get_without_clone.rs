//! `get` hands out a clone; `with` needs none.
use haversack::ContextVar;

struct Handle;

static HANDLE: ContextVar<Handle> = ContextVar::new("handle");

fn main() {
    let _ = HANDLE.with(|_| ());
    let _ = HANDLE.get();
}
