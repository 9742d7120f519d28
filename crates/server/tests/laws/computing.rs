//! Computing: a model that computes on its caller's thread holds up its own tenant and nobody else, and not the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haversack_agent::model::{ChatModel, ChatRequest, ModelStream, Offline};
use reqwest::StatusCode;
use tokio::sync::watch;

use super::harness::{TestServer, json_of, problem, start_with};

/// Computes without end for whoever says `spin`, on the thread of the caller, until it is released.
struct Spinning {
    calls: watch::Sender<usize>,
    released: AtomicBool,
}

impl Spinning {
    fn new() -> Arc<Self> {
        Arc::new(Self { calls: watch::Sender::new(0), released: AtomicBool::new(false) })
    }
}

/// Releases the model when the test ends, however it ends: a runtime waits for its blocking threads.
struct Released(Arc<Spinning>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.released.store(true, Ordering::SeqCst);
    }
}

impl ChatModel for Spinning {
    fn name(&self) -> &str {
        "spinning"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        if request.last_user_text() == "spin" {
            self.calls.send_modify(|calls| *calls += 1);
            while !self.released.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        }
        Offline.chat(request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_computes_without_end_holds_up_its_own_tenant_only() {
    let model = Spinning::new();
    let _released = Released(model.clone());
    let server = start_with(
        |config| {
            config.server.grace_s = 0;
            config.limits.turn_timeout_s = 2;
        },
        Some(model.clone()),
    )
    .await;
    let (kim, sam) = (server.key("acme", "kim").await, server.key("globex", "sam").await);
    let mut spinning = haversack::JoinSet::new();
    for session in 0..40 {
        spinning.spawn(server.turn(&kim, &format!("s{session}"), "spin").send());
    }
    model.calls.subscribe().wait_for(|calls| *calls > 0).await.unwrap();
    assert!(!server.say(&sam, "s", "hello").await.is_empty());
    let health = server.http.get(format!("{}/healthz", server.server.url())).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    // Each of them ends with its time, although what it began still computes.
    problem(spinning.join_next().await.unwrap().unwrap().unwrap(), "HV0230").await;
    assert!(!server.say(&sam, "s", "hello").await.is_empty());
    let half = std::thread::available_parallelism().unwrap().get() / 2;
    assert!(*model.calls.borrow() <= half.max(1), "a tenant has half of the processors");
    let TestServer { server, folder: _folder, .. } = server;
    tokio::time::timeout(Duration::from_secs(60), server.shutdown()).await.unwrap().unwrap();
    assert!(!model.released.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_turn_does_not_wait_for_what_it_computes() {
    let model = Spinning::new();
    let _released = Released(model.clone());
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let client = haversack::spawn(server.turn(&kim, "s", "spin").send());
    model.calls.subscribe().wait_for(|calls| *calls > 0).await.unwrap();
    let turns = server.server.engine().turns().clone();
    client.abort();
    // A request without an event stream is its turn's only client.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let session = server.get(&kim, "/v1/sessions/s").await;
        let history = json_of(session, StatusCode::OK).await;
        if history["history"][0]["status"] == "cancelled" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{history} {turns:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
