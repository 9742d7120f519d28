//! The shared driver: twenty requests at once put calls of a rig tool into one queue, and each drains whatever the queue
//! holds, so most calls are polled by another request's task. 120 calls, each of which says whose data it would have read.

#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use haversack::well_known::{TENANT_ID, TenantId};
use haversack::{Boundary, FutureExt as _};
use haversack_peers_rig::InContext;
use rig_agent::tool::server::{ToolServer, ToolServerHandle};
use rig_core::tool::{Tool, ToolContext};
use serde_json::{Value, json};
use tokio::sync::Barrier;

const REQUESTS: usize = 20;
const CALLS: usize = 6;

static DOOR: Boundary = Boundary::new("door").requires(&[&TENANT_ID]);

/// A tool that reads the tenant before and after it waited.
#[derive(Clone)]
struct WhoseData;

impl Tool for WhoseData {
    const NAME: &'static str = "whose_data";
    type Args = Value;
    type Output = Value;
    type Error = Infallible;

    fn description(&self) -> String {
        "Says whose data a call would read".to_owned()
    }

    fn parameters(&self) -> Value {
        json!({ "type": "object", "properties": {} })
    }

    async fn call(&self, _: &mut ToolContext, _: Value) -> Result<Value, Infallible> {
        let before = tenant();
        futures_util::pending!();
        futures_util::pending!();
        Ok(json!([before, tenant()]))
    }
}

fn tenant() -> Option<String> {
    TENANT_ID.get().ok().map(|tenant| tenant.to_string())
}

#[derive(Default)]
struct Shared {
    queue: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    ended: AtomicUsize,
    wrong: AtomicUsize,
}

/// One request: hands its calls over, then drives until all calls of everybody have ended.
async fn request(shared: Arc<Shared>, all_here: Arc<Barrier>, call: impl Fn() -> BoxFuture<'static, Value>) {
    let own = tenant();
    for _ in 0..CALLS {
        let (call, shared_by, own) = (call(), shared.clone(), own.clone());
        let counted = async move {
            let right = call.await == json!([own, own]);
            shared_by.wrong.fetch_add(usize::from(!right), Ordering::Relaxed);
            shared_by.ended.fetch_add(1, Ordering::Relaxed);
        };
        shared.queue.lock().unwrap().push_back(counted.boxed());
    }
    all_here.wait().await;
    while shared.ended.load(Ordering::Relaxed) < REQUESTS * CALLS {
        let next = shared.queue.lock().unwrap().pop_front();
        if let Some(mut next) = next
            && futures_util::poll!(&mut next).is_pending()
        {
            shared.queue.lock().unwrap().push_back(next);
        }
        tokio::task::yield_now().await;
    }
}

/// Runs all requests; how many of the 120 calls read anything but their own tenant.
async fn wrong<C>(call: impl Fn() -> C) -> usize
where
    C: Fn() -> BoxFuture<'static, Value> + Send + Sync + 'static,
{
    let (shared, all_here) = (Arc::new(Shared::default()), Arc::new(Barrier::new(REQUESTS)));
    let requests: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let name = TenantId::new(format!("tenant-{number}")).unwrap();
            let visit = DOOR.enter(|bindings| bindings.bind(&TENANT_ID, name)).unwrap();
            let call = visit.run(&call);
            tokio::spawn(visit.wrap(request(shared.clone(), all_here.clone(), call)))
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    assert_eq!(shared.ended.load(Ordering::Relaxed), 120);
    shared.wrong.load(Ordering::Relaxed)
}

/// One call of the tool over rig's own dispatch.
async fn over_rig(tools: ToolServerHandle) -> Value {
    let mut context = ToolContext::new();
    let result = tools.execute(WhoseData::NAME, "{}", &mut context).await;
    result.output().as_json().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_calls_read_their_drivers_tenant() {
    // No library can see this hand-over. It is the control of the two laws below.
    let tools = ToolServer::new().tool(WhoseData).run();
    let wrong = wrong(|| {
        let tools = tools.clone();
        move || over_rig(tools.clone()).boxed()
    })
    .await;
    assert!(wrong > 0, "{wrong} of 120 wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_wrapped_where_they_are_handed_over_read_their_own() {
    let tools = ToolServer::new().tool(WhoseData).run();
    let wrong = wrong(|| {
        let tools = tools.clone();
        move || over_rig(tools.clone()).in_current_context().boxed()
    })
    .await;
    assert_eq!(wrong, 0, "of 120");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_was_made_in_its_request_reads_that_requests_tenant_whoever_drives() {
    let wrong = wrong(|| {
        // Tools of this request; the calls themselves are handed over bare.
        let tools = ToolServer::new().tool(InContext::here(WhoseData)).run();
        move || over_rig(tools.clone()).boxed()
    })
    .await;
    assert_eq!(wrong, 0, "of 120");
}
