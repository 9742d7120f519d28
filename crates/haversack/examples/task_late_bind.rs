//! The second sharp edge: a task sees the values of the moment at which it was spawned. A value that its parent binds
//! later is not there, and a channel or a shared cell that carries it "in time" is a race. The library keeps the rule and
//! makes it loud: the task that came too early gets an error that names the variable and the hand-over.
#![allow(clippy::print_stdout, reason = "an example shows something")]
#![allow(clippy::disallowed_methods, reason = "`#[tokio::main]` blocks on its runtime, where no frame is")]
#![allow(clippy::expect_used, reason = "an example that does not show what it claims ends")]

use std::cell::Cell;
use std::error::Error;

use haversack::{ContextVar, FutureExt};

static TENANT: ContextVar<&str> = ContextVar::new("tenant");

thread_local! {
    static THREAD_LOCAL: Cell<&'static str> = const { Cell::new("nobody") };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Without: what the task reads is what somebody wrote last, whoever that was.
    THREAD_LOCAL.set("acme");
    let early = haversack::spawn(async { THREAD_LOCAL.get() });
    THREAD_LOCAL.set("globex");
    let without = early.await?;
    println!("without: a task of acme reads {without}");
    assert_eq!(without, "globex");

    // With: the moment of the spawn, and nothing that came after it.
    let request = async {
        let early = haversack::spawn(async { TENANT.get() });
        let _token = TENANT.set("acme")?;
        let late = haversack::spawn(async { TENANT.get() });
        let _token = TENANT.set("globex")?;
        Ok::<_, Box<dyn Error>>((early.await?, late.await??))
    };
    let (early, late) = request.isolated().await?;
    let missing = early.expect_err("it was spawned before anything was bound");
    println!("with:    spawned too early: {missing}");
    println!("with:    spawned in time: {late}");
    assert_eq!(late, "acme");
    Ok(())
}
