//! A visit that nobody keeps has ended, a token that nobody resets binds on, a scope that nobody awaits does
//! nothing.
#![deny(unused_must_use)]
use haversack::{Boundary, Context, ContextVar, FutureExt, NoFrame, Refused, Token};

static DOOR: Boundary = Boundary::new("door");
static LOCALE: ContextVar<u32> = ContextVar::new("locale");

fn visit() -> Result<(), Refused> {
    DOOR.enter(|bindings| bindings)?;
    Ok(())
}

fn token() -> Result<(), NoFrame> {
    LOCALE.set(1)?;
    Ok(())
}

fn reset(token: Token<u32>) {
    token.reset();
}

fn main() {
    LOCALE.set(1);
    LOCALE.get();
    LOCALE.scope(1, async {});
    async {}.in_current_context();
    haversack::detached(async {});
    Context::current();
    Context::empty().bind(&LOCALE, 1);
    let _ = (visit(), token(), reset);
}
