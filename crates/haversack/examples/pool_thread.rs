//! The first sharp edge: a thread does not know whose work it does. `tokio::task_local!` is gone on the blocking pool;
//! with the library the closure sees its submitter's binding, and the thread shows nothing of it afterwards.
#![allow(clippy::disallowed_methods, reason = "the first half shows what a bare hand-over loses")]
#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use haversack::ContextVar;

tokio::task_local! {
    static TASK_LOCAL: &'static str;
}
static TENANT: ContextVar<&str> = ContextVar::new("tenant");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let without = TASK_LOCAL.scope("acme", async {
        let on_the_pool = || TASK_LOCAL.try_with(|tenant| *tenant);
        tokio::task::spawn_blocking(on_the_pool).await
    });
    let without = without.await?;
    println!("without: {without:?}");
    assert!(without.is_err());

    let with = TENANT.scope("acme", async { haversack::spawn_blocking(|| TENANT.get()).await });
    let with = with.await??;
    println!("with:    {with}");
    assert_eq!(with, "acme");

    // The same thread, a moment later, for nobody.
    let afterwards = tokio::task::spawn_blocking(|| TENANT.get()).await?;
    assert!(afterwards.is_err());
    Ok(())
}
