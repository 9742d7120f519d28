//! The third sharp edge: a value that is set and not taken back stays for whoever comes next. In the library a binding
//! belongs to its frame and ends with it, also on panic; a token that is used elsewhere, or in the wrong order, is an
//! error and changes nothing; and one that is used twice does not compile.
#![allow(clippy::print_stdout, reason = "an example shows something")]
#![allow(clippy::disallowed_methods, reason = "`#[tokio::main]` blocks on its runtime, where no frame is")]
#![allow(clippy::expect_used, reason = "an example that does not show what it claims ends")]

use std::cell::Cell;
use std::error::Error;

use haversack::{Context, ContextVar, FutureExt};

static TENANT: ContextVar<&str> = ContextVar::new("tenant");

thread_local! {
    static THREAD_LOCAL: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Handles a request, and forgets to clean up because it fails.
fn handle(tenant: &'static str) -> Result<(), Box<dyn Error>> {
    THREAD_LOCAL.set(Some(tenant));
    let _token = TENANT.set(tenant)?;
    Err("the database is gone".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    Context::empty().run(|| handle("acme")).expect_err("it fails");
    println!("without: the next request finds {:?}", THREAD_LOCAL.get());
    println!("with:    the next request finds {:?}", TENANT.bound());
    assert_eq!(THREAD_LOCAL.get(), Some("acme"));
    assert_eq!(TENANT.bound(), None);

    // A token belongs to the frame in which it was made.
    let frame = async {
        let token = TENANT.set("acme")?;
        let elsewhere = haversack::spawn(async move { token.reset() }).await?;
        println!("with:    {}", elsewhere.expect_err("it is another frame"));
        assert_eq!(TENANT.get()?, "acme");
        Ok::<_, Box<dyn Error>>(())
    };
    frame.isolated().await
}
