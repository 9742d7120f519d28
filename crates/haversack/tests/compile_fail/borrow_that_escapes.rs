//! What `with` lends ends with its closure.
use haversack::ContextVar;

static NAME: ContextVar<String> = ContextVar::new("name");

fn main() {
    let _ = NAME.with(|name| name);
}
