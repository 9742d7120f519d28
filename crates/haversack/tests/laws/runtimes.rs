//! Both flavours of tokio's runtime: a law about tasks holds on each of them.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// After this long a test has lost an event that it waits for. Nothing is measured with it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Two workers beside the thread that blocks.
pub(crate) fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs the law as the root of a runtime of each flavour, on a thread that is in no frame.
pub(crate) fn on_both<F: Future<Output = ()>>(law: impl Fn() -> F) {
    for (flavour, runtime) in [("current thread", current_thread()), ("multi thread", multi_thread())] {
        let _said = SaidOnPanic(flavour);
        runtime.block_on(limited(law()));
    }
}

/// The same, as a task: on the multi-thread runtime the law itself runs on a worker.
pub(crate) fn as_task_on_both<F: Future<Output = ()> + Send + 'static>(law: impl Fn() -> F) {
    on_both(|| {
        let task = law();
        async { tokio::spawn(task).await.unwrap() }
    });
}

/// Fails where the event that a test waits for never comes.
pub(crate) async fn limited<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("an awaited event did not come")
}

struct SaidOnPanic(&'static str);

impl Drop for SaidOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on the {} runtime", self.0);
        }
    }
}
