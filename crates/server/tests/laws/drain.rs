//! Stopping: no new turns, running ones finish, the folder is given back; and after the grace period nothing
//! hangs.

use std::time::Duration;

use reqwest::StatusCode;

use super::harness::{Gated, TestServer, client, json_of, problem, start_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_running_turns_finish_and_takes_no_new_ones() {
    let model = Gated::closed();
    let server = start_with(|_| {}, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let running = haversack::spawn(server.turn(&kim, "s", "hello").header("Idempotency-Key", "k").send());
    model.called(1).await;
    let refused = server.turn(&kim, "t", "hello");
    let joined = server.turn(&kim, "s", "hello").header("Idempotency-Key", "k");
    let read = server.request(reqwest::Method::GET, "/v1/sessions", &kim);
    let TestServer { server, http, folder } = server;
    let url = server.url();

    let turns = server.engine().turns().clone();
    let stopping = haversack::spawn(server.shutdown());
    while !turns.is_draining() {
        tokio::task::yield_now().await;
    }
    let ready = http.get(format!("{url}/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.headers().contains_key("retry-after"));
    problem(ready, "HV0222").await;
    assert_eq!(http.get(format!("{url}/healthz")).send().await.unwrap().status(), StatusCode::OK);
    let refused = refused.send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, "HV0222").await;
    assert_eq!(read.send().await.unwrap().status(), StatusCode::OK);
    let joined = haversack::spawn(joined.send());
    model.open();
    let first = json_of(running.await.unwrap().unwrap(), StatusCode::OK).await;
    stopping.await.unwrap().unwrap();
    // The repetition was either answered with the same turn or came too late for any answer; never with
    // another turn.
    if let Ok(answer) = joined.await.unwrap()
        && answer.status() == StatusCode::OK
    {
        assert_eq!(json_of(answer, StatusCode::OK).await["turn"], first["turn"]);
    }
    assert!(http.get(format!("{url}/healthz")).send().await.is_err(), "the listener is closed");

    // The folder is free, and what was answered is there.
    let again = restart(folder).await;
    let view = json_of(again.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"][0]["turn"], first["turn"]);
    assert_eq!(again.get(&kim, "/v1/sessions/t").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_grace_period_what_still_runs_is_cancelled() {
    let model = Gated::closed();
    let server = start_with(|config| config.server.grace_s = 0, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    let waiting = haversack::spawn(server.turn(&kim, "s", "hello").send());
    model.called(1).await;
    let TestServer { server, folder, .. } = server;
    server.shutdown().await.unwrap();
    problem(waiting.await.unwrap().unwrap(), "HV0231").await;
    let again = restart(folder).await;
    let view = json_of(again.get(&kim, "/v1/sessions/s").await, StatusCode::OK).await;
    assert_eq!(view["history"][0]["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_a_stop() {
    let server = start_with(|_| {}, None).await;
    let keeping =
        reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(600)).build().unwrap();
    keeping.get(format!("{}/healthz", server.server.url())).send().await.unwrap().text().await.unwrap();
    server.server.shutdown().await.unwrap();
}

async fn restart(folder: tempfile::TempDir) -> TestServer {
    let mut config = haversack_server::config::Config::default();
    config.server.bind = "127.0.0.1:0".parse().unwrap();
    config.store.path = folder.path().join("data");
    let server = haversack_server::Server::start(config).await.unwrap();
    TestServer { server, http: client(), folder }
}
