//! A tenant is bound once, at the door, and follows the work into a task and onto the blocking pool. What is
//! spawned bare says so, where it reads. This is the program of the README.
#![allow(clippy::disallowed_methods, reason = "the last line shows what a bare spawn loses")]
#![allow(clippy::print_stdout, reason = "an example shows something")]

use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{Boundary, MissingContext};

static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);

/// Far from the door, and no parameter says whose mailbox.
fn mailbox() -> Result<String, MissingContext> {
    TENANT_ID.with(|tenant| format!("mailbox of {tenant}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let acme = TenantId::new("acme")?;
    let request = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, acme))?.wrap(async {
        println!("task: {}", haversack::spawn(async { mailbox() }).await??);
        println!("pool: {}", haversack::spawn_blocking(mailbox).await??);
        if let Err(missing) = tokio::spawn(async { mailbox() }).await? {
            println!("bare: {missing}");
        }
        Ok(())
    });
    haversack::block_on(&tokio::runtime::Runtime::new()?, request)
}
