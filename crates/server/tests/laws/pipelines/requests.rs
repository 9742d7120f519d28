//! Runs over HTTP: started, listed, read in pages and as a stream, and swept when they are old.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{begin, ended, examples, serving};
use crate::harness::{TestServer, json_of, kims, problem, start_with};
use crate::program::settled;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_by_a_request_and_executed_by_a_worker() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    let list = json_of(server.get(&kim, "/v1/pipelines").await, StatusCode::OK).await;
    let linear = &list["pipelines"].as_array().unwrap().iter().find(|one| one["name"] == "linear").unwrap();
    assert_eq!(linear["runnable"], true);
    assert!(linear["description"].as_str().unwrap().contains("stub"));

    for (name, outputs) in [
        ("map", json!({ "collected": [1, 4, 9], "squared": [1, 4, 9] })),
        ("conditional", json!({ "prize": "a cup", "side": "heads" })),
        ("loop", json!({ "sum": 6, "enough": true })),
    ] {
        let started = begin(&server, &kim, name, json!({ "key": format!("{name}-1") })).await;
        assert_eq!(started.headers()["location"], format!("/v1/runs/{name}-1"));
        json_of(started, StatusCode::ACCEPTED).await;
        let view = ended(&server, &kim, &format!("{name}-1")).await;
        assert_eq!((&view["status"], &view["principal"]), (&"succeeded".into(), &"kim".into()), "{view}");
        for (output, value) in outputs.as_object().unwrap() {
            assert_eq!(&view["outputs"][output], value, "{name}: {view}");
        }
        let again = begin(&server, &kim, name, json!({ "key": format!("{name}-1") })).await;
        assert_eq!(json_of(again, StatusCode::OK).await["ended_at"], view["ended_at"], "the first run");
    }
    // A parameter goes before the pipeline's own; without a key the run gets a name.
    let started = begin(&server, &kim, "map", json!({ "parameters": { "chunks": [5] } })).await;
    let run = json_of(started, StatusCode::ACCEPTED).await["run"].as_str().unwrap().to_owned();
    assert_eq!(ended(&server, &kim, &run).await["outputs"]["squared"], json!([25]));

    let runs = json_of(server.get(&kim, "/v1/runs?status=succeeded").await, StatusCode::OK).await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 4);
    let runs = json_of(server.get(&kim, "/v1/runs?status=failed").await, StatusCode::OK).await;
    assert_eq!(runs["runs"], json!([]));

    for (name, body, code) in [
        ("absent", json!({}), "HV0702"),
        ("..%2Flinear", json!({}), "HV0702"),
        ("linear", json!({ "key": "a b" }), "HV0212"),
        ("linear", json!({ "keys": "a" }), "HV0212"),
        ("linear", json!({ "parameters": { "PATH": "/tmp" } }), "HV0705"),
        ("linear", json!({ "key": "map-1" }), "HV0705"),
    ] {
        problem(begin(&server, &kim, name, body).await, code).await;
    }
    problem(server.get(&kim, "/v1/runs?status=lost").await, "HV0212").await;
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_in_pages_and_as_a_stream_that_goes_on_after_a_break() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    begin(&server, &kim, "linear", json!({ "key": "r.1" })).await;
    // The stream ends with the run, whoever reads it first.
    let stream = async |last: Option<&str>| {
        let mut request =
            server.request(Method::GET, "/v1/runs/r.1/log", &kim).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    };
    let text = stream(None).await.text().await.unwrap();
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let view = ended(&server, &kim, "r.1").await;
    let count = view["last_event"].as_u64().unwrap();
    let all: Vec<String> = (1..=count).map(|number| format!("r.1.{number}")).collect();
    assert_eq!(ids, all, "every event, once, in order");
    assert!(text.contains("event: ended"), "{text}");
    let rest = stream(Some("r.1.3")).await.text().await.unwrap();
    assert!(
        rest.starts_with("id: r.1.4\n") || rest.contains("id: r.1.4\n") && !rest.contains("id: r.1.3\n"),
        "{rest}"
    );
    assert_eq!(stream(Some(all.last().unwrap())).await.status(), StatusCode::NO_CONTENT);
    problem(stream(Some("other.1")).await, "HV0212").await;

    let (mut after, mut numbers) = (Some(0), Vec::new());
    while let Some(from) = after {
        let path = format!("/v1/runs/r.1/log?limit=2&after={from}");
        let page = json_of(server.get(&kim, &path).await, StatusCode::OK).await;
        numbers
            .extend(page["events"].as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()));
        after = page["after"].as_u64();
    }
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    server.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_run_is_swept_by_the_worker() {
    let server = serving(&examples()).await;
    let kim = server.key("acme", "kim").await;
    for key in ["old", "young"] {
        json_of(begin(&server, &kim, "linear", json!({ "key": key })).await, StatusCode::ACCEPTED).await;
        ended(&server, &kim, key).await;
    }
    let store = server.server.engine().store().clone();
    let aged = kims().wrap(async {
        let rows = store.rows().unwrap();
        let past = "UPDATE pipeline_runs SET ended_at = ended_at - 1000 * 86400 * 15 WHERE run = 'old'";
        rows.write("age a run", move |tx, _| Ok(tx.execute(past, [])?)).await.unwrap()
    });
    assert_eq!(aged.await, 1);
    let TestServer { server, folder, .. } = server;
    server.shutdown().await.unwrap();
    let data = folder.path().join("data");
    let server = start_with(
        |config| {
            config.store.path = data;
            config.pipelines.folder = Some(examples());
        },
        None,
    )
    .await;
    let kim = server.key("acme", "kim").await;
    let runs = settled(async || {
        let runs = json_of(server.get(&kim, "/v1/runs").await, StatusCode::OK).await;
        (runs["runs"].as_array().unwrap().len() == 1).then_some(runs)
    })
    .await;
    assert_eq!(runs["runs"][0]["run"], "young");
    server.server.shutdown().await.unwrap();
}
