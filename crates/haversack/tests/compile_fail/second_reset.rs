//! A reset consumes its token.
use haversack::{Context, ContextVar};

static LOCALE: ContextVar<u32> = ContextVar::new("locale");

fn main() {
    Context::empty().run(|| {
        let token = LOCALE.set(1).unwrap();
        let _ = token.reset();
        let _ = token.reset();
    });
}
