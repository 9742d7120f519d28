//! A value outlives the call that binds it.
use haversack::ContextVar;

static NAME: ContextVar<&str> = ContextVar::new("name");

fn main() {
    let name = String::from("ada");
    NAME.sync_scope(&name, || ());
}
