//! Traces: the tree of a turn, who may read it, what never enters it, and what a collector gets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use haversack::testing;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TRACE_CONTEXT, TenantId};
use haversack_server::config::LogFormat;
use haversack_server::server::Options;
use haversack_server::telemetry::log::{Style, filter};
use haversack_server::telemetry::otlp::{self, Otlp};
use haversack_server::telemetry::ring::Bounds;
use haversack_server::telemetry::trace::{self, Arrival, CAUSE};
use haversack_server::telemetry::{Log, Ring, Telemetry, TurnTree, subscriber};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::StatusCode;
use serde_json::Value;
use tracing::dispatcher::with_default;

use super::harness::{Key, TestServer, json_of, problem, start_with_options};
use super::program::{Program, settled};

const OURS: &str = "haversack_laws";

async fn traced() -> TestServer {
    start_with_options(|config| {
        config.telemetry.log = LogFormat::Off;
        let telemetry = Telemetry::install(&config.telemetry).unwrap();
        Options { telemetry, model: None }
    })
    .await
}

/// Runs a turn and reads its tree once every unit of it has ended.
async fn tree_of(server: &TestServer, key: &Key, session: &str, message: &str) -> (String, TurnTree) {
    let reply = json_of(server.turn(key, session, message).send().await.unwrap(), StatusCode::OK).await;
    let turn = reply["turn"].as_str().unwrap().to_owned();
    let tree = settled(async || {
        let response = server.get(key, &format!("/v1/turns/{turn}/context")).await;
        let tree: TurnTree = serde_json::from_value(json_of(response, StatusCode::OK).await).unwrap();
        tree.complete.then_some(tree)
    })
    .await;
    (turn, tree)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unit_of_a_turn_hangs_in_one_tree_under_its_own_context() {
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    let (turn, tree) =
        tree_of(&server, &key, "s", "Our account manager is Robin Vega. Who is our account manager?").await;
    assert_eq!(tree.turn, turn);
    assert_eq!(tree.dropped, 0);
    let roots: Vec<_> = tree.units.iter().filter(|unit| unit.parent.is_none()).collect();
    assert_eq!(roots.len(), 1, "{:#?}", tree.units);
    assert_eq!(roots[0].name, "turn");
    for unit in &tree.units {
        assert!(unit.parent.is_none_or(|parent| parent < unit.id), "a parent stands before its children");
        assert!(!unit.context.foreign);
        let bound: BTreeMap<&str, &str> =
            unit.context.variables.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
        assert_eq!(bound["tenant"], "acme", "{}", unit.name);
        assert_eq!(bound["principal"], "kim", "{}", unit.name);
        assert_eq!(bound["session"], "s", "{}", unit.name);
        assert!(
            unit.context.variables.iter().all(|one| one.bound_at.contains(".rs:")),
            "where each was bound"
        );
        assert_eq!(unit.context.boundary.as_deref(), Some("turn"));
    }
    let names: HashSet<&str> = tree.units.iter().map(|unit| unit.name.as_str()).collect();
    for name in ["supervisor", "specialist", "model", "tool"] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    let under = |name: &str| -> HashSet<&str> {
        let above = tree.units.iter().filter(|unit| unit.name == name).filter_map(|unit| unit.parent);
        above.map(|parent| tree.units[parent as usize].name.as_str()).collect()
    };
    assert_eq!(under("tool"), HashSet::from(["specialist"]));
    assert!(under("model").contains("specialist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_on_the_blocking_pool_stays_in_the_tree() {
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    let (_, tree) = tree_of(&server, &key, "s", "How do I reset the scanner?").await;
    let pooled =
        tree.units.iter().find(|unit| unit.name == "blocking").unwrap_or_else(|| panic!("{:#?}", tree.units));
    assert_eq!(tree.units[pooled.parent.unwrap() as usize].name, "tool");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_somebody_else_looks_like_one_that_never_was() {
    let server = traced().await;
    let owner = server.key("acme", "kim").await;
    let (turn, _) = tree_of(&server, &owner, "s", "hello").await;
    let unknown = format!("turn_{}", "0".repeat(32));
    for other in [server.key("other", "kim").await, server.key("acme", "sam").await] {
        let mut answers = Vec::new();
        for id in [&turn, &unknown] {
            let text = problem(server.get(&other, &format!("/v1/turns/{id}/context")).await, "HV0206").await;
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            answer["instance"] = Value::Null;
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_conversation_enters_a_tree() {
    let server = traced().await;
    let key = server.key("acme", "kim").await;
    let said = "Remember that our cellar code is canaryqx. I tried the canaryqx lever, it did not help.";
    let (_, tree) = tree_of(&server, &key, "s", said).await;
    let (_, asked) = tree_of(&server, &key, "s", "What is the cellar code of canaryqx?").await;
    for tree in [tree, asked] {
        let text = serde_json::to_string(&tree).unwrap();
        assert!(!text.contains("canaryqx"), "{text}");
    }
}

/// A turn as the agents open it, with `units` more below it.
fn turn(id: &str, units: usize) {
    let root = tracing::info_span!(target: OURS, "turn", turn = id);
    for _ in 0..units {
        let _unit = tracing::info_span!(target: OURS, parent: &root, "unit", prompt = "canary", ok = true);
    }
}

fn recorded(ring: &Ring, id: &str) -> Option<TurnTree> {
    ring.turn(id).unwrap()
}

#[test]
fn the_ring_is_loud_outside_a_door() {
    assert!(Ring::default().turn("turn_1").is_err());
}

#[test]
fn the_ring_is_bounded_in_turns_and_units_and_per_tenant() {
    let ring = Ring::new(Bounds { turns: 5, turns_per_tenant: 3, units_per_turn: 4 });
    let quiet = testing::tenant("quiet");
    let busy = testing::tenant("busy");
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || {
        quiet.run(|| turn("q1", 1));
        busy.run(|| (0..50).for_each(|number| turn(&format!("b{number}"), 10)));
    });
    let tree = quiet.run(|| recorded(&ring, "q1")).expect("a busy tenant does not push out another");
    assert!(tree.complete);
    assert_eq!(tree.units.len(), 2);
    busy.run(|| {
        let kept: Vec<usize> =
            (0..50).filter(|number| recorded(&ring, &format!("b{number}")).is_some()).collect();
        assert_eq!(kept, [47, 48, 49]);
        let tree = recorded(&ring, "b49").unwrap();
        assert_eq!((tree.units.len(), tree.dropped), (4, 7));
    });
    // The bound over all tenants holds too: the oldest goes.
    let more = ["c", "d", "e"].map(testing::tenant);
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || {
        for (visit, id) in more.iter().zip(["c1", "d1", "e1"]) {
            visit.run(|| turn(id, 0));
        }
    });
    assert!(quiet.run(|| recorded(&ring, "q1")).is_none());
    assert!(more[2].run(|| recorded(&ring, "e1")).is_some());
}

#[test]
fn only_listed_fields_are_recorded_and_values_are_cut() {
    let ring = Ring::default();
    let visit = testing::tenant("acme");
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || {
        visit.run(|| {
            let root = tracing::info_span!(target: OURS, "turn", turn = "t1", message = "canary", outcome = tracing::field::Empty);
            let long = "x".repeat(5_000);
            let _tool = tracing::info_span!(target: OURS, parent: &root, "tool", name = %long, args = "canary").entered();
            root.record("outcome", "ok");
        });
    });
    let tree = visit.run(|| recorded(&ring, "t1")).unwrap();
    assert!(!serde_json::to_string(&tree).unwrap().contains("canary"));
    assert_eq!(tree.units[0].fields["outcome"], "ok");
    assert!(tree.units[1].fields["name"].chars().count() < 250);
}

#[test]
fn a_unit_under_a_foreign_context_is_withheld() {
    let ring = Ring::default();
    let (owner, other) = (testing::tenant("acme"), testing::tenant("stranger"));
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || {
        let root = owner.run(|| tracing::info_span!(target: OURS, "turn", turn = "t2"));
        other.run(|| drop(tracing::info_span!(target: OURS, parent: &root, "tool")));
    });
    let tree = owner.run(|| recorded(&ring, "t2")).unwrap();
    assert!(tree.units[1].context.foreign);
    assert!(!serde_json::to_string(&tree).unwrap().contains("stranger"));
    assert!(other.run(|| recorded(&ring, "t2")).is_none());
}

#[test]
fn a_turn_id_cannot_be_taken_over() {
    let ring = Ring::default();
    let (owner, other) = (testing::tenant("acme"), testing::tenant("stranger"));
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || {
        owner.run(|| turn("t3", 0));
        other.run(|| turn("t3", 3));
        owner.run(|| turn("t3", 0));
    });
    // The second root of the same owner is kept beside the first: a repeated request shows both.
    assert_eq!(owner.run(|| recorded(&ring, "t3")).unwrap().units.len(), 2);
    // Whoever takes the id finds what is their own under it, and takes nothing away.
    let theirs = other.run(|| recorded(&ring, "t3")).unwrap();
    assert_eq!(theirs.units.len(), 4);
    assert!(!serde_json::to_string(&theirs).unwrap().contains("acme"));
}

#[test]
fn principals_of_one_tenant_do_not_see_each_other() {
    let ring = Ring::default();
    let enter = |principal: &str| {
        testing::enter(|bind| {
            bind.bind(&TENANT_ID, TenantId::new("acme").unwrap())
                .bind(&PRINCIPAL, Principal::new(principal).unwrap())
        })
    };
    let (kim, sam) = (enter("kim"), enter("sam"));
    with_default(&subscriber(&ring, None::<Log<Vec<u8>>>, None), || kim.run(|| turn("t4", 0)));
    assert!(kim.run(|| recorded(&ring, "t4")).is_some());
    assert!(sam.run(|| recorded(&ring, "t4")).is_none());
    // A second visit of the same principal is the same reader.
    assert!(enter("kim").run(|| recorded(&ring, "t4")).is_some());
}

/// A sink that a test can read while the subscriber holds it.
#[derive(Clone, Default, Debug)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn log_something(style: Style) -> String {
    let lines = Lines::default();
    let log = Log { style, filter: filter("warn").unwrap(), sink: lines.clone() };
    with_default(&subscriber(&Ring::default(), Some(log), None), || {
        testing::session("acme\nERROR forged", "s1").run(|| {
            let _turn = tracing::info_span!(target: OURS, "turn", turn = "turn_9").entered();
            tracing::warn!(target: OURS, prompt = "canary", ms = 12, "something happened");
            tracing::info!(target: OURS, "too fine for the filter");
            tracing::info!(target: "hyper", "canary of a library");
        });
        tracing::error!(target: OURS, "nobody's business");
    });
    lines.text()
}

#[test]
fn a_json_line_carries_the_ids_of_its_context() {
    let text = log_something(Style::Json);
    assert!(!text.contains("canary") && !text.contains("too fine"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["tenant"], "acme\u{fffd}ERROR forged");
    assert_eq!(lines[0]["principal"], "tester");
    assert_eq!(lines[0]["session"], "s1");
    assert_eq!(lines[0]["turn"], "turn_9", "also when the filter leaves the span out");
    assert_eq!(lines[0]["message"], "something happened");
    assert_eq!(lines[0]["fields"]["ms"], "12");
    assert_eq!(lines[1].get("tenant"), None);
}

#[test]
fn a_human_line_cannot_be_forged() {
    let text = log_something(Style::Human { color: false });
    assert_eq!(text.lines().count(), 2, "{text}");
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("WARN") && first.contains("something happened tenant=acme\u{fffd}ERROR forged"),
        "{first}"
    );
    assert!(first.contains("turn=turn_9"), "{first}");
}

#[test]
fn the_log_of_a_server_carries_ids_and_no_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haversack.toml");
    std::fs::write(&config, "[server]\nbind = \"127.0.0.1:0\"\ndemo_keys = true\n[telemetry]\nlog = \"json\"\nfilter = \"debug\"\n").unwrap();
    let mut program = Program::serve(folder.path(), &["--config", config.to_str().unwrap()], &[]);
    program.say("northwind", "s", "Remember that our cellar code is canaryqz.");
    program.say("northwind", "s", "What is our cellar code?");
    let refused = program.raw("northwind", "s", "{\"message\": canaryqz}");
    assert!(refused.contains("HV0211"), "{refused}");
    let log = program.stop();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(!log.contains("canaryqz"), "{log}");
    assert!(
        lines.iter().any(|line| line["fields"]["code"] == "HV0211" && line["request"].is_string()),
        "{log}"
    );
}

/// A span, and the attributes of the resource that sent it.
type Sent = (Span, Vec<(String, String)>);

/// What a collector received.
#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Sent>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

async fn collect(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> &'static [u8] {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    for resource in request.resource_spans {
        let about: Vec<(String, String)> = resource
            .resource
            .into_iter()
            .flat_map(|it| it.attributes)
            .map(|it| (it.key.clone(), text_of(it.value)))
            .collect();
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.spans.lock().unwrap().extend(spans.map(|span| (span, about.clone())));
    }
    received.headers.lock().unwrap().push(format!("{headers:?}"));
    received.bodies.lock().unwrap().push(body.to_vec());
    b""
}

fn text_of(value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(AnyValue::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|one| one.key == key).map(|one| text_of(one.value.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_whole_trees_each_span_with_its_own_tenant() {
    let received = Received::default();
    let endpoint = collector(&received).await;
    let turns = haversack::spawn_blocking(move || two_tenants_at_once(&endpoint)).await.unwrap();

    let spans = received.spans.lock().unwrap().clone();
    let mut traces: HashMap<Vec<u8>, Vec<Span>> = HashMap::new();
    for (span, about) in spans {
        assert!(about.contains(&("service.name".to_owned(), "laws".to_owned())), "{about:?}");
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    let mut seen = HashSet::new();
    for spans in traces.values() {
        let ids: HashSet<&Vec<u8>> = spans.iter().map(|span| &span.span_id).collect();
        let roots: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(roots.len(), 1, "one tree: {names:?}");
        assert!(
            spans.iter().all(|span| span.parent_span_id.is_empty() || ids.contains(&span.parent_span_id))
        );
        let Some(turn) = spans.iter().find_map(|span| attribute(span, "turn")) else { continue };
        let tenant = &turns[&turn];
        for span in spans {
            let bound = attribute(span, "haversack.context.tenant");
            if span.name == "http" {
                // Opened before the door: nobody is known yet.
                assert_eq!(bound, None);
                continue;
            }
            assert_eq!(bound.as_deref(), Some(tenant.as_str()), "{} of {turn}", span.name);
            assert!(attribute(span, "haversack.context.session").is_some());
            assert!(span.events.is_empty(), "events are not exported");
        }
        assert!(names.contains(&"tool") && names.contains(&"model"), "{names:?}");
        assert!(seen.insert(turn));
    }
    assert_eq!(seen.len(), turns.len(), "every turn arrived before the process ended");

    for body in received.bodies.lock().unwrap().iter() {
        assert!(!String::from_utf8_lossy(body).contains("canary"), "no word, and nothing of the environment");
    }
    for headers in received.headers.lock().unwrap().iter() {
        assert!(!headers.contains("canary"), "{headers}");
        assert!(headers.contains("\"x-collector-key\""), "{headers}");
    }
}

/// A collector; where it listens.
async fn collector(received: &Received) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let routes =
        axum::Router::new().route("/v1/traces", axum::routing::post(collect)).with_state(received.clone());
    haversack::spawn_detached(async move { axum::serve(listener, routes).await.unwrap() });
    endpoint
}

/// The span of a caller.
const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An exporter that sends when it is shut down.
fn exporter(endpoint: String) -> Otlp {
    let options = otlp::Options {
        endpoint,
        headers: Vec::new(),
        service_name: "laws".to_owned(),
        timeout: Duration::from_secs(5),
        interval: Duration::from_secs(60),
    };
    Otlp::start(options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_spans_have_the_ids_of_the_journal_and_link_to_what_is_elsewhere() {
    let received = Received::default();
    let endpoint = collector(&received).await;
    let work = move || {
        let exporter = exporter(endpoint);
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), THEIRS.parse().unwrap())]);
        let arrival = Arrival::of(&headers).unwrap();
        let turn = trace::child(&arrival.trace).unwrap();
        let job = trace::child(&turn).unwrap();
        with_default(&subscriber(&Ring::default(), None::<Log<Vec<u8>>>, Some(&exporter)), || {
            let http = arrival.run(|| tracing::info_span!(target: OURS, "http"));
            TRACE_CONTEXT.sync_scope(turn.clone(), || {
                let turn = tracing::info_span!(target: OURS, parent: &http, "turn", turn = "turn_1");
                drop(tracing::info_span!(target: OURS, parent: &turn, "tool"));
            });
            // As in a worker: the cause is known by its ids alone.
            CAUSE.sync_scope(turn.clone(), || {
                TRACE_CONTEXT.sync_scope(job.clone(), || {
                    drop(tracing::info_span!(target: OURS, "job", job = "job_1"));
                });
            });
        });
        exporter.shutdown().unwrap();
        (arrival, turn, job)
    };
    let (arrival, turn, job) = haversack::spawn_blocking(work).await.unwrap();

    let spans = received.spans.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let named = |name: &str| &spans.iter().find(|(span, _)| span.name == name).unwrap().0;
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|(span, _)| hex(&span.trace_id) == arrival.trace.trace_id()), "one trace");
    for (name, ids, parent) in
        [("http", &arrival.trace, ""), ("turn", &turn, arrival.trace.parent_id()), ("job", &job, "")]
    {
        assert_eq!(hex(&named(name).span_id), ids.parent_id(), "{name}");
        assert_eq!(hex(&named(name).parent_span_id), parent, "{name}");
    }
    assert_eq!(named("tool").parent_span_id, named("turn").span_id);
    let links = |name: &str| -> Vec<String> {
        named(name)
            .links
            .iter()
            .map(|link| format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id)))
            .collect()
    };
    assert_eq!(links("http"), [THEIRS]);
    assert_eq!(links("job"), [turn.as_str()]);
    assert!(links("turn").is_empty() && links("tool").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exported_request_of_a_trusted_caller_hangs_under_the_callers_span() {
    let received = Received::default();
    let endpoint = collector(&received).await;
    let work = move || {
        let exporter = exporter(endpoint);
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), THEIRS.parse().unwrap())]);
        let arrival = Arrival::of_trusted(&headers).unwrap();
        with_default(&subscriber(&Ring::default(), None::<Log<Vec<u8>>>, Some(&exporter)), || {
            drop(arrival.run(|| tracing::info_span!(target: OURS, "http")));
            drop(tracing::info_span!(target: OURS, "unrelated"));
        });
        exporter.shutdown().unwrap();
        arrival
    };
    let arrival = haversack::spawn_blocking(work).await.unwrap();
    let spans = received.spans.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let named = |name: &str| &spans.iter().find(|(span, _)| span.name == name).unwrap().0;
    let http = named("http");
    let ids = (hex(&http.trace_id), hex(&http.parent_span_id), hex(&http.span_id));
    let own = arrival.trace.parent_id().to_owned();
    assert_eq!(ids, (THEIRS[3..35].to_owned(), THEIRS[36..52].to_owned(), own));
    assert!(http.links.is_empty());
    assert!(named("unrelated").parent_span_id.is_empty(), "nothing is left on the thread");
}

/// Runs a server as a process of its own that exports to `endpoint`, with an environment that must not matter, and talks
/// as two tenants at the same time. Gives each turn's tenant after the process has ended.
fn two_tenants_at_once(endpoint: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haversack.toml");
    let text = format!(
        "[server]\nbind = \"127.0.0.1:0\"\ndemo_keys = true\n[telemetry]\nlog = \"off\"\n[telemetry.otlp]\n\
         endpoint = \"{endpoint}\"\nservice_name = \"laws\"\nheaders = {{ x-collector-key = \"env:COLLECTOR_KEY\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let environment = [
        ("COLLECTOR_KEY", "secret-of-the-collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-canary=canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1/canary"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/canary"),
        ("OTEL_RESOURCE_ATTRIBUTES", "canary=canary"),
        ("OTEL_SERVICE_NAME", "canary"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    let mut program = Program::serve(folder.path(), &["--config", config.to_str().unwrap()], &environment);
    let turns = Mutex::new(BTreeMap::new());
    haversack::thread::scope(|scope| {
        for tenant in ["northwind", "contoso"] {
            for session in 0..4 {
                let (program, turns) = (&program, &turns);
                scope.spawn(move || {
                    for message in ["Our canary manager is Robin Vega.", "Who is our canary manager?"] {
                        let reply = program.say(tenant, &format!("s{session}"), message);
                        turns
                            .lock()
                            .unwrap()
                            .insert(reply["turn"].as_str().unwrap().to_owned(), tenant.to_owned());
                    }
                });
            }
        }
    });
    program.stop();
    turns.into_inner().unwrap()
}
