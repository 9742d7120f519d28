//! A `const` is copied at each use: each copy would be another variable.
use haversack::ContextVar;

const LOCALE: ContextVar<u32> = ContextVar::new("locale");

fn main() {
    let _ = LOCALE.get();
}
