//! What travels must have an encoding.
use haversack::ContextVar;

struct Handle;

static HANDLE: ContextVar<Handle> = ContextVar::new("handle").portable(1);

fn main() {}
