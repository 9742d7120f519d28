//! What is shown must print, and what the environment gives must parse.
use haversack::ContextVar;

struct Handle;

static SHOWN: ContextVar<Handle> = ContextVar::new("handle").shown();
static FROM_ENV: ContextVar<Handle> = ContextVar::new("handle").env("HANDLE");

fn main() {}
