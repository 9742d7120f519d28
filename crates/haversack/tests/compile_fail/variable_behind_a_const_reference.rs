//! Nor does a reference in a const make a static of it.
use haversack::ContextVar;

const LOCALE: &ContextVar<u32> = &ContextVar::new("locale");

fn main() {
    let _ = LOCALE.get();
    let _ = const { &ContextVar::<u32>::new("locale") }.get();
}
