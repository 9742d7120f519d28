//! What travels must have an encoding.
use haversack::ContextVar;

const fn travels<T: Send + Sync + 'static>() -> ContextVar<T> {
    ContextVar::new("handle").portable(1)
}

fn main() {}
