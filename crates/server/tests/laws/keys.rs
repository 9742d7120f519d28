//! Keys: what opens the door, and that revoking closes it at the next request, whoever revoked, and what is open at its next
//! event or heartbeat.

use std::sync::Arc;
use std::time::Duration;

use haversack_server::auth::admin::{self, Grant};
use haversack_store::{ControlDb, KeyRole, StoreOptions};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::harness::{Gated, Key, TestServer, json_of, problem, start, start_with};

async fn with(server: &TestServer, header: &str) -> Response {
    let url = format!("{}/v1/sessions", server.server.url());
    server.http.get(url).header(AUTHORIZATION, header).send().await.unwrap()
}

fn grant(tenant: &str, principal: &str) -> Grant {
    Grant {
        tenant: tenant.into(),
        principal: principal.into(),
        label: String::new(),
        expires_at: None,
        role: KeyRole::Member,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_well_formed_key_nothing_opens() {
    let server = start().await;
    let key = server.key("acme", "kim").await.text;
    let bare = server.http.get(format!("{}/v1/sessions", server.server.url())).send().await.unwrap();
    assert!(bare.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    problem(bare, "HV0201").await;
    let cut = &key[..key.len() - 1];
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        &key,
        &format!("Basic {key}"),
        &format!("Bearer {cut}"),
        &format!("Bearer {key}0"),
        &format!("Bearer {key} {key}"),
        &format!("Bearer \"{key}\""),
        &format!("Bearer {}", key.to_uppercase()),
        &format!("Bearer hv_../x_{}", "0".repeat(64)),
        &format!("Bearer {}", "x".repeat(8000)),
    ] {
        let text = problem(with(&server, bad).await, "HV0201").await;
        assert!(!text.contains(&key[4..]), "{text}");
    }
    let twice = server.http.get(format!("{}/v1/sessions", server.server.url()));
    let twice =
        twice.header(AUTHORIZATION, format!("Bearer {key}")).header(AUTHORIZATION, format!("Bearer {key}"));
    problem(twice.send().await.unwrap(), "HV0201").await;
    assert_eq!(with(&server, &format!("bearer {key}")).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_and_a_wrong_secret_are_answered_alike() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let secret = key.text.rsplit_once('_').unwrap().1;
    let wrong = format!("Bearer hv_{}_{}", key.id, "0".repeat(64));
    let unknown = format!("Bearer hv_{}_{secret}", "0".repeat(12));
    let mut answers = Vec::new();
    for header in [wrong, unknown] {
        let response = with(&server, &header).await;
        let headers: Vec<_> = response.headers().keys().map(|name| name.as_str().to_owned()).collect();
        let mut body: Value = serde_json::from_str(&problem(response, "HV0202").await).unwrap();
        body["instance"].take();
        answers.push((headers, body));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_the_next_request() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let other = server.key("acme", "kim").await;
    assert_eq!(server.get(&key, "/v1/sessions").await.status(), StatusCode::OK);
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    problem(server.get(&key, "/v1/sessions").await, "HV0203").await;
    assert_eq!(server.get(&other, "/v1/sessions").await.status(), StatusCode::OK);
    // Only who knows the secret learns that it was revoked.
    let guess = format!("Bearer hv_{}_{}", key.id, "0".repeat(64));
    problem(with(&server, &guess).await, "HV0202").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_or_revoked_beside_the_server_counts_at_the_next_request() {
    let server = start().await;
    let data = server.folder.path().join("data");
    let control = haversack::spawn_blocking(move || ControlDb::open_shared(&data, &StoreOptions::default()));
    let control = control.await.unwrap().unwrap();
    for _ in 0..20 {
        let issued = admin::issue(&control, grant("acme", "kim"), "test").await.unwrap();
        let header = format!("Bearer {}", issued.key.reveal());
        assert_eq!(with(&server, &header).await.status(), StatusCode::OK);
        admin::revoke(&control, &issued.row.id, "test").await.unwrap();
        problem(with(&server, &header).await, "HV0203").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused() {
    let server = start().await;
    let control = server.server.engine().store().control();
    let ends = |seconds| Some(Timestamp::now() + SignedDuration::from_secs(seconds));
    let expired = Grant { expires_at: ends(-1), ..grant("acme", "kim") };
    let issued = admin::issue(control, expired, "test").await.unwrap();
    problem(with(&server, &format!("Bearer {}", issued.key.reveal())).await, "HV0203").await;
    let valid = Grant { expires_at: ends(3600), ..grant("acme", "kim") };
    let issued = admin::issue(control, valid, "test").await.unwrap();
    assert_eq!(with(&server, &format!("Bearer {}", issued.key.reveal())).await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_keeps_its_identity_and_loses_its_secret() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    server.say(&key, "s", "hello").await;
    let control = server.server.engine().store().control();
    let rotated = admin::rotate(control, &key.id, None, "test").await.unwrap();
    problem(server.get(&key, "/v1/sessions/s").await, "HV0203").await;
    let new = Key { id: rotated.row.id.clone(), text: rotated.key.reveal() };
    assert_eq!(server.get(&new, "/v1/sessions/s").await.status(), StatusCode::OK);
    let again = admin::rotate(control, &key.id, None, "test").await.unwrap_err();
    assert_eq!(again.code().id(), "HV0203");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_outside_the_rules_get_no_key() {
    let server = start().await;
    let control = server.server.engine().store().control();
    let unicode = "\u{fc}".repeat(2048);
    for bad in ["", "../x", "Acme", "a/b", "a b", ".a", "a%", &unicode] {
        for grant in [grant(bad, "kim"), grant("acme", bad)] {
            let fault = admin::issue(control, grant, "test").await.unwrap_err();
            assert_eq!(fault.code().id(), "HV0208");
            assert!(bad.is_empty() || !fault.detail().contains(bad));
        }
    }
    assert!(admin::list(control).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_data_folder_and_every_change_is_audited() {
    let server = start().await;
    let key = server.key("acme", "kim").await;
    let control = server.server.engine().store().control();
    let rotated = admin::rotate(control, &key.id, None, "ops").await.unwrap();
    admin::revoke(control, &rotated.row.id, "ops").await.unwrap();
    let trail = control.audit().list(10).await.unwrap();
    let acts: Vec<_> = trail.iter().map(|row| (row.actor.as_str(), row.action.as_str())).collect();
    assert_eq!(acts, [("ops", "key.revoke"), ("ops", "key.rotate"), ("test", "key.issue")]);
    for text in [key.text, rotated.key.reveal()] {
        let secret = text.rsplit_once('_').unwrap().1;
        let raw: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&secret[2 * at..2 * at + 2], 16).unwrap()).collect();
        for entry in std::fs::read_dir(server.folder.path().join("data")).unwrap() {
            let path = entry.unwrap().path();
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!holds(secret.as_bytes()) && !holds(&raw), "{}", path.display());
        }
    }
}

/// A server without a worker: what is submitted waits, so that its streams are silent.
async fn silent(heartbeat_s: u64, model: Option<Arc<Gated>>) -> TestServer {
    start_with(
        |config| {
            config.limits.heartbeat_s = heartbeat_s;
            config.jobs.embedded_worker = false;
            config.jobs.tools = vec!["search_knowledge".to_owned()];
            let folder = config.store.path.with_file_name("pipelines");
            std::fs::create_dir(&folder).unwrap();
            let pipeline = "dag:\n  start_at: only\n  steps:\n    only: {type: stub, next: success}\n    \
                            success: {type: success}\n    fail: {type: fail}\n";
            std::fs::write(folder.join("wait.yaml"), pipeline).unwrap();
            config.pipelines.folder = Some(folder);
        },
        model.map(|model| model as _),
    )
    .await
}

/// A job that waits; its path.
async fn waiting(server: &TestServer, key: &Key) -> String {
    let job = json!({ "tool": "search_knowledge", "arguments": { "query": "account manager" } });
    let posted = server.request(Method::POST, "/v1/jobs", key).json(&job).send().await.unwrap();
    let posted = json_of(posted, StatusCode::ACCEPTED).await;
    format!("/v1/jobs/{}", posted["job"].as_str().unwrap())
}

/// A stream that has begun.
async fn listening(server: &TestServer, key: &Key, path: &str) -> Response {
    let request = server.request(Method::GET, path, key).header(ACCEPT, "text/event-stream");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response
}

/// What else is told on a stream until it ends.
async fn rest(stream: Response) -> String {
    let rest = tokio::time::timeout(Duration::from_secs(60), stream.text()).await;
    rest.expect("the stream goes on").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_revoked_key_ends_at_its_next_event() {
    let model = Gated::closed();
    let server = silent(600, Some(model.clone())).await;
    let key = server.key("acme", "kim").await;
    let other = server.key("acme", "kim").await;
    let job = waiting(&server, &key).await;
    let events = format!("{job}/events");
    let mut revoked = listening(&server, &key, &events).await;
    let lives = listening(&server, &other, &events).await;
    let first = revoked.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: changed"));
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    let called_off = server.request(Method::DELETE, &job, &other).send().await.unwrap();
    json_of(called_off, StatusCode::OK).await;
    assert_eq!(rest(revoked).await, "", "nothing more is told");
    assert!(rest(lives).await.contains("event: ended"));
    problem(server.get(&key, &events).await, "HV0203").await;

    let key = server.key("acme", "kim").await;
    let turn = server.turn(&other, "s", "hello").header("Prefer", "respond-async").send().await.unwrap();
    let turn = json_of(turn, StatusCode::ACCEPTED).await;
    let events = format!("/v1/turns/{}/events", turn["turn"].as_str().unwrap());
    let (revoked, lives) =
        (listening(&server, &key, &events).await, listening(&server, &other, &events).await);
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    model.open();
    assert!(rest(lives).await.contains("event: finished"));
    assert!(!rest(revoked).await.contains("event: finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_of_a_revoked_key_ends_at_its_next_heartbeat() {
    let server = silent(1, None).await;
    let key = server.key("acme", "kim").await;
    let other = server.key("acme", "kim").await;
    let events = format!("{}/events", waiting(&server, &key).await);
    let run = server.request(Method::POST, "/v1/pipelines/wait/runs", &key);
    let run = run.json(&json!({ "key": "silent" })).send().await.unwrap();
    json_of(run, StatusCode::ACCEPTED).await;
    let session = super::mcp::begin(&server, &key).await;
    let mcp = |key: &Key| {
        let request = server.request(Method::GET, "/mcp", key).header(ACCEPT, "text/event-stream");
        request.header("mcp-session-id", &session).header("mcp-protocol-version", super::mcp::OLD).send()
    };
    let mut revoked = vec![
        listening(&server, &key, &events).await,
        listening(&server, &key, "/v1/runs/silent/log").await,
        mcp(&key).await.unwrap(),
    ];
    let mut lives = listening(&server, &other, &events).await;
    for stream in revoked.iter_mut().chain([&mut lives]) {
        assert_eq!(stream.status(), StatusCode::OK);
        // Each shows that it lives, so it is silence that ends it and not that it never began.
        while !stream.chunk().await.unwrap().unwrap().starts_with(b":") {}
    }
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    for stream in revoked {
        let path = stream.url().path().to_owned();
        let rest = rest(stream).await;
        assert!(!rest.contains("event:"), "{path}: {rest}");
    }
    while !lives.chunk().await.unwrap().unwrap().starts_with(b":") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_of_a_revoked_key_is_cancelled() {
    let server = silent(600, Some(Gated::closed())).await;
    let (key, other) = (server.key("acme", "kim").await, server.key("acme", "kim").await);
    let turn = server.turn(&key, "s", "hello").header("Prefer", "respond-async").send().await.unwrap();
    let turn = json_of(turn, StatusCode::ACCEPTED).await;
    let events = format!("/v1/turns/{}/events", turn["turn"].as_str().unwrap());
    let lives = listening(&server, &other, &events).await;
    admin::revoke(server.server.engine().store().control(), &key.id, "test").await.unwrap();
    let told = rest(lives).await;
    assert!(told.contains("event: failed") && told.contains("HV0231"), "{told}");
}

/// A rotation changes the key and nothing that was asked for with it, unless the old key is revoked on top.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_rotated_key_go_on_under_the_key_in_its_place() {
    let server = silent(600, None).await;
    let control = server.server.engine().store().control();
    let other = server.key("acme", "kim").await;
    let mut jobs = Vec::new();
    for (revoke_old, revoke_new) in [(false, false), (true, false), (false, true)] {
        let key = server.key("acme", "kim").await;
        let job = waiting(&server, &key).await;
        let rotated = admin::rotate(control, &key.id, None, "test").await.unwrap();
        let again = admin::rotate(control, &rotated.row.id, None, "test").await.unwrap();
        if revoke_old {
            admin::revoke(control, &key.id, "test").await.unwrap();
        }
        if revoke_new {
            admin::revoke(control, &again.row.id, "test").await.unwrap();
        }
        jobs.push(job);
    }
    let worker = haversack_server::work::Working::start(server.server.engine().work());
    for (job, state) in jobs.iter().zip(["succeeded", "cancelled", "cancelled"]) {
        let told = rest(listening(&server, &other, &format!("{job}/events")).await).await;
        assert!(told.contains(&format!("\"state\":\"{state}\"")), "{job} {state}: {told}");
    }
    worker.stop().await;
}
