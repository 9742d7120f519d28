//! What is shown must print, and what the environment gives must parse.
use haversack::ContextVar;

const fn is_shown<T: Send + Sync + 'static>() -> ContextVar<T> {
    ContextVar::new("handle").shown()
}

const fn is_read<T: Send + Sync + 'static>() -> ContextVar<T> {
    ContextVar::new("handle").env("HANDLE")
}

fn main() {}
