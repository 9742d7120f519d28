//! The fourth sharp edge, which only Rust has: a future runs under whoever polls it. A driver that is shared, and that
//! each request polls for a while, runs one caller's work in another caller's task. A task-local then answers with the
//! driver's value: not missing, but *wrong*. What is wrapped where it is handed over keeps its own.
#![allow(clippy::print_stdout, reason = "an example shows something")]
#![allow(clippy::disallowed_methods, reason = "`#[tokio::main]` blocks on its runtime, where no frame is")]
#![allow(clippy::async_yields_async, reason = "what is handed over is a future")]

use std::error::Error;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haversack::{ContextVar, FutureExt, MissingContext};

tokio::task_local! {
    static TASK_LOCAL: &'static str;
}
static TENANT: ContextVar<&str> = ContextVar::new("tenant");

type Answer = Result<(&'static str, &'static str, &'static str), MissingContext>;

/// A tool call of one caller: who it is for, and what either variable says.
async fn tool(caller: &'static str) -> Answer {
    tokio::task::yield_now().await;
    Ok((caller, TASK_LOCAL.with(|tenant| *tenant), TENANT.get()?))
}

/// Two callers submit to a shared driver; `globex` polls it to its end.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let driver: FuturesUnordered<Pin<Box<dyn Future<Output = Answer>>>> = FuturesUnordered::new();
    for caller in ["acme", "globex"] {
        let submit = async {
            // The one line: whoever polls it, it is this caller's.
            let call: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(tool(caller).in_current_context());
            call
        };
        driver.push(TASK_LOCAL.scope(caller, TENANT.scope(caller, submit)).await);
    }
    let polled =
        TASK_LOCAL.scope("globex", TENANT.scope("globex", async { driver.collect::<Vec<_>>().await }));
    for answer in polled.await {
        let (caller, without, with) = answer?;
        println!("a call of {caller}: without {without}, with {with}");
        assert_eq!(without, "globex", "the poller's");
        assert_eq!(with, caller);
    }
    Ok(())
}
