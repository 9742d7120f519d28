//! The gateway of a server: what a person writes on another platform is answered there, by the same turns as a request, and
//! nowhere else. Messages are signed and answers arrive at a real listener; servers and workers are killed for real.

mod busy;
mod commands;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use futures_util::{SinkExt, StreamExt};
use haversack_gateway::platform::webhook::{SigningSecret, sign};
use haversack_server::config::{Config, LogFormat};
use haversack_server::server::Options;
use haversack_server::telemetry::{Telemetry, TraceTree};
use haversack_store::now_millis;
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Gated, TestServer, client, json_of, problem, start_with, start_with_options};
use crate::program::settled;

const SECRET: &str = "a secret of sixteen bytes and more";

/// The other side: it takes answers, and keeps those that are signed.
#[derive(Clone)]
pub(super) struct Inbox {
    pub(super) url: String,
    answers: watch::Sender<Vec<Value>>,
}

impl Inbox {
    pub(super) async fn open() -> Self {
        Self::at("127.0.0.1:0").await
    }

    async fn at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/answers", listener.local_addr().unwrap());
        let inbox = Self { url, answers: watch::Sender::new(Vec::new()) };
        let app = Router::new().route("/answers", post(take)).with_state(inbox.clone());
        haversack::spawn_detached(async move { axum::serve(listener, app).await.unwrap() });
        inbox
    }

    /// The answers, as soon as there are this many.
    pub(super) async fn has(&self, many: usize) -> Vec<Value> {
        self.answers.subscribe().wait_for(|answers| answers.len() >= many).await.unwrap().clone()
    }

    pub(super) fn now(&self) -> Vec<Value> {
        self.answers.borrow().clone()
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (id, time) = (header(sign::ID), header(sign::TIME).parse().unwrap());
    let secrets = [SigningSecret::parse(SECRET).unwrap()];
    let genuine = sign::verify(&secrets, id, time, &body, header(sign::SIGNATURE), 300, now_millis() / 1000);
    assert!(genuine.is_ok(), "an answer is signed");
    let mut answer: Value = serde_json::from_slice(&body).unwrap();
    answer["id"] = id.into();
    answer["traceparent"] = headers.get("traceparent").map(|sent| sent.to_str().unwrap()).into();
    inbox.answers.send_modify(|answers| answers.push(answer));
    StatusCode::NO_CONTENT
}

/// An account of each tenant, over webhooks, in which `u-1` is `kim`.
fn accounts(here: &Path, tenants: &[String]) -> String {
    std::fs::write(here.join("secret"), SECRET).unwrap();
    let account = |tenant: &String| {
        format!(
            "[[gateway.accounts]]\nname = \"{tenant}-desk\"\nplatform = \"webhook\"\ntenant = \"{tenant}\"\n\
             users = {{ u-1 = \"kim\" }}\nsecrets = [\"file:{}\"]\ncallbacks = [\"http://127.0.0.1:*\"]\n",
            here.join("secret").display()
        )
    };
    tenants.iter().map(account).collect()
}

pub(super) fn configured(config: &mut Config, tenants: &[String]) {
    let here = config.store.path.parent().unwrap().to_owned();
    let text = accounts(&here, tenants);
    config.gateway = Config::parse(&here.join("haversack.toml"), &text, []).unwrap().gateway;
    (config.limits.requests_per_second, config.limits.burst) = (100_000, 100_000);
}

pub(super) async fn desk() -> TestServer {
    start_with(|config| configured(config, &["acme".to_owned()]), None).await
}

/// A message that somebody sends.
#[derive(Clone)]
pub(super) struct Post {
    account: String,
    id: String,
    body: Value,
    secret: &'static str,
}

impl Post {
    pub(super) fn new(account: &str, id: &str, thread: &str, text: &str, callback: Option<&str>) -> Self {
        let body = json!({
            "chat": { "id": "c-1", "type": "direct" },
            "thread": thread,
            "sender": { "id": "u-1", "name": "Kim" },
            "text": text,
            "callback": callback,
        });
        Self { account: account.to_owned(), id: id.to_owned(), body, secret: SECRET }
    }

    pub(super) async fn send(&self, url: &str) -> Response {
        let (body, time) = (self.body.to_string(), now_millis() / 1000);
        let secret = SigningSecret::parse(self.secret).unwrap();
        let signature = sign::sign(&secret, &self.id, time, body.as_bytes());
        client()
            .post(format!("{url}/gateway/webhook/{}", self.account))
            .header("content-type", "application/json")
            .header(sign::ID, &self.id)
            .header(sign::TIME, time.to_string())
            .header(sign::SIGNATURE, signature)
            .body(body)
            .send()
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_message_is_answered_in_its_thread_and_once() {
    let (server, inbox) = (desk().await, Inbox::open().await);
    let said = "Remember that our account manager is Robin Vega.";
    let post = Post::new("acme-desk", "msg-1", "t-7", said, Some(&inbox.url));
    let told = json_of(post.send(&server.server.url()).await, StatusCode::ACCEPTED).await;
    assert_eq!(told["status"], "accepted");
    let answer = inbox.has(1).await.remove(0);
    assert!(answer["text"].as_str().unwrap().contains("Robin Vega"), "{answer}");
    let place = ["account", "chat", "thread", "in_reply_to"].map(|part| answer[part].as_str().unwrap());
    assert_eq!(place, ["acme-desk", "c-1", "t-7", "msg-1"]);

    let again = json_of(post.send(&server.server.url()).await, StatusCode::OK).await;
    assert_eq!(again["status"], "duplicate");
    // Who waits on the line hears the answer there; that it came last says that the replay said nothing.
    let waits = Post::new("acme-desk", "msg-2", "t-8", "Who is our account manager?", None);
    let told = json_of(waits.send(&server.server.url()).await, StatusCode::OK).await;
    assert!(
        told["text"].as_str().unwrap().contains("Robin Vega"),
        "what kim said is kim's in every thread: {told}"
    );
    server.server.shutdown().await.unwrap();
    assert_eq!(inbox.now().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_told_its_delivery_in_the_trace_only_where_the_account_says_so() {
    let traced = |hosts: Vec<String>| {
        start_with(
            move |config| {
                configured(config, &["acme".to_owned()]);
                config.gateway.accounts[0].traced = hosts;
            },
            None,
        )
    };
    for (hosts, told) in [(vec![], false), (vec!["http://127.0.0.1:*".to_owned()], true)] {
        let (server, inbox) = (traced(hosts).await, Inbox::open().await);
        let post = Post::new("acme-desk", "msg-1", "t-7", "hello", Some(&inbox.url));
        json_of(post.send(&server.server.url()).await, StatusCode::ACCEPTED).await;
        let answer = inbox.has(1).await.remove(0);
        let sent = answer["traceparent"].as_str();
        assert_eq!(sent.is_some(), told, "{answer}");
        if let Some(sent) = sent {
            // What is told is the trace that the tenant can read, and in it the delivery that called, as the journal has it.
            let key = server.key("acme", "kim").await;
            let path = format!("/v1/context/{}", &sent[3..35]);
            let delivery = settled(async || {
                let tree: TraceTree = server.get(&key, &path).await.json().await.ok()?;
                tree.work.into_iter().find(|work| work.kind == "delivery" && work.ended_at.is_some())
            });
            assert_eq!(sent[36..52], delivery.await.span, "{sent}");
        }
        server.server.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_problem_with_its_code() {
    let server = desk().await;
    let url = server.server.url();
    let good = Post::new("acme-desk", "m", "t", "hello", None);
    problem(Post { secret: "another secret of some length", ..good.clone() }.send(&url).await, "HV0802")
        .await;
    problem(Post { account: "nobody".to_owned(), ..good.clone() }.send(&url).await, "HV0802").await;
    let mut stranger = good.clone();
    stranger.body["sender"]["id"] = "u-2".into();
    problem(stranger.send(&url).await, "HV0803").await;
    let mut elsewhere = good.clone();
    elsewhere.body["callback"] = "http://169.254.169.254/".into();
    problem(elsewhere.send(&url).await, "HV0804").await;
    let nothing = Post { body: json!([]), ..good.clone() };
    problem(nothing.send(&url).await, "HV0804").await;
    let mut huge = good.clone();
    huge.body["text"] = "x".repeat(9 << 20).into();
    problem(huge.send(&url).await, "HV0210").await;
    let get = client().get(format!("{url}/gateway/webhook/acme-desk")).send().await.unwrap();
    problem(get, "HV0216").await;
    let socket = client().get(format!("{url}/gateway/ws")).send().await.unwrap();
    problem(socket, "HV0201").await;
    // None of it kept the message from being taken.
    json_of(good.send(&url).await, StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_messages_over_twenty_tenants_cross_nowhere() {
    let tenants: Vec<String> = (0..20).map(|tenant| format!("tenant-{tenant}")).collect();
    let named = tenants.clone();
    let prepare = move |config: &mut Config| {
        configured(config, &named);
        // Two hundred connections at once on a busy machine are slow, and that is not what this is about.
        config.limits.body_timeout_s = 600;
    };
    let server = start_with(prepare, None).await;
    let (url, inbox) = (server.server.url(), Inbox::open().await);
    let posts = tenants.iter().flat_map(|tenant| {
        let inbox = &inbox;
        (0..10).map(move |thread| {
            // Ids, chats, senders and threads have the same names everywhere; only what is said differs.
            let said = format!("Remember that our account manager is {}.", who(tenant, thread));
            let callback = Some(inbox.url.as_str());
            Post::new(
                &format!("{tenant}-desk"),
                &format!("m-{thread}"),
                &format!("t-{thread}"),
                &said,
                callback,
            )
        })
    });
    let sent = futures_util::future::join_all(posts.map(|post| {
        let url = url.clone();
        async move { post.send(&url).await.status() }
    }));
    assert!(sent.await.iter().all(|status| *status == StatusCode::ACCEPTED));
    let answers = inbox.has(200).await;
    let mut seen = BTreeSet::new();
    for answer in &answers {
        let text = |part: &str| answer[part].as_str().unwrap();
        let tenant = text("account").strip_suffix("-desk").unwrap();
        let thread: usize = text("thread").strip_prefix("t-").unwrap().parse().unwrap();
        assert!(text("text").contains(&who(tenant, thread)), "{answer}");
        assert_eq!(text("in_reply_to"), format!("m-{thread}"));
        assert!(seen.insert((tenant.to_owned(), thread)), "said once: {answer}");
    }
    assert_eq!(seen.len(), 200);
}

/// A name that no other tenant and no other thread has.
fn who(tenant: &str, thread: usize) -> String {
    format!(
        "Robin {}{}",
        ["Vega", "Lund", "Haas"][thread % 3],
        tenant.len() * 1_000_000 + number(tenant) * 100 + thread
    )
}

fn number(tenant: &str) -> usize {
    tenant.rsplit('-').next().unwrap().parse().unwrap()
}

/// A message, its turn, the job that the turn began, the run, and both answers: one tree, from whichever end it is asked for, and nobody
/// else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_all_that_it_causes_are_one_tree() {
    let server = start_with_options(|config| {
        let here = config.store.path.parent().unwrap().to_owned();
        let (bind, path) = (config.server.bind, config.store.path.clone());
        let text = with_export(&here, true);
        *config = Config::parse(&here.join("haversack.toml"), &text, []).unwrap();
        (config.server.bind, config.store.path) = (bind, path);
        config.telemetry.log = LogFormat::Off;
        Options { telemetry: Telemetry::install(&config.telemetry).unwrap_or_default(), ..Options::default() }
    })
    .await;
    std::fs::write(server.folder.path().join("go"), "").unwrap();
    let (url, inbox) = (server.server.url(), Inbox::open().await);
    let kim = server.key("northwind", "kim").await;
    Post::new("northwind-desk", "msg-tree", "t-1", "Please run the export.", Some(&inbox.url))
        .send(&url)
        .await;
    let answers = inbox.has(2).await;
    assert!(answers.iter().all(|answer| answer["thread"] == "t-1"), "{answers:?}");
    let tree = |id: String| {
        let (server, kim) = (&server, &kim);
        async move {
            let answer = server.get(kim, &format!("/v1/context/{id}")).await;
            (answer.status() == StatusCode::OK)
                .then_some(answer.json::<TraceTree>().await)
                .and_then(Result::ok)
        }
    };
    let kinds = |tree: &TraceTree| {
        let mut kinds = BTreeMap::new();
        for work in tree.work.iter().filter(|work| work.ended_at.is_some()) {
            *kinds.entry(work.kind.clone()).or_insert(0) += 1;
        }
        kinds
    };
    let expected = BTreeMap::from([("delivery", 2), ("job", 1), ("run", 1), ("turn", 1)]);
    let expected = expected.into_iter().map(|(kind, many)| (kind.to_owned(), many)).collect();
    let whole =
        settled(async || tree("msg-tree".to_owned()).await.filter(|tree| kinds(tree) == expected)).await;
    assert_eq!(whole.request.as_deref(), Some("msg-tree"));
    for work in &whole.work {
        assert_eq!(tree(work.id.clone()).await.unwrap().trace, whole.trace, "{}", work.kind);
    }
    let turn = whole.work.iter().find(|work| work.kind == "turn").unwrap();
    let job = whole.work.iter().find(|work| work.kind == "job").unwrap();
    assert_eq!(job.parent.as_deref(), Some(turn.span.as_str()), "the turn caused the job");
    let sam = server.key("northwind", "sam").await;
    problem(server.get(&sam, "/v1/context/msg-tree").await, "HV0218").await;

    let list = json_of(server.get(&kim, "/v1/deliveries").await, StatusCode::OK).await;
    let states: Vec<_> =
        list["deliveries"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["delivered", "delivered"], "{list}");
    assert!(!list.to_string().contains("export"), "no words: {list}");
    let none = json_of(server.get(&sam, "/v1/deliveries").await, StatusCode::OK).await;
    assert_eq!(none, json!({ "deliveries": [] }));
    problem(server.get(&kim, "/v1/deliveries?limit=0").await, "HV0212").await;
}

/// A pipeline that agents run in the background, and that waits for the file `go`.
pub(super) fn with_export(here: &Path, embedded: bool) -> String {
    let folder = here.join("pipelines");
    std::fs::create_dir_all(&folder).unwrap();
    let yaml = format!(
        "dag:\n  start_at: wait\n  steps:\n    wait:\n      type: task\n      command_type: shell\n      \
         command: while [ ! -e '{}' ]; do sleep 0.02; done\n      next: success\n    success: {{type: success}}\n    \
         fail: {{type: fail}}\n",
        here.join("go").display()
    );
    std::fs::write(folder.join("export.yaml"), yaml).unwrap();
    format!(
        "[jobs]\nembedded_worker = {embedded}\n[pipelines]\nfolder = \"{}\"\n{}\
         [[pipelines.tools]]\nname = \"export\"\npipeline = \"export\"\ndescription = \"Exports the orders.\"\n\
         [[agent.specialists]]\nname = \"helper\"\ndescription = \"Helps.\"\nprompt = \"Help.\"\n\
         tools = [\"export\", \"remember\", \"recall\", \"note_attempt\"]\n",
        folder.display(),
        accounts(here, &["northwind".to_owned(), "contoso".to_owned()])
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_speaks_as_its_key_and_hears_its_own_answers() {
    let server = desk().await;
    let url = format!("{}/gateway/ws", server.server.url().replace("http://", "ws://"));
    let mut sockets = Vec::new();
    for (tenant, name) in [("acme", "Vega"), ("zeta", "Lund")] {
        let key = server.key(tenant, "kim").await;
        let mut request = url.clone().into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", key.text).parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        let text = format!("Remember that our account manager is Robin {name}.");
        let say = json!({ "type": "say", "id": "1", "chat": "desk", "text": text });
        socket.send(Message::text(say.to_string())).await.unwrap();
        sockets.push((socket, name));
    }
    for (mut socket, name) in sockets {
        let message = loop {
            let frame = socket.next().await.unwrap().unwrap();
            let Ok(Ok(told)) = frame.to_text().map(serde_json::from_str::<Value>) else { continue };
            if told["type"] == "message" {
                break told;
            }
        };
        assert!(message["text"].as_str().unwrap().contains(name), "{message}");
    }
    server.server.shutdown().await.unwrap();
}

/// Two threads at once: the second message arrives while the first is being answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_where_its_message_came_from_and_not_where_the_last_one_did() {
    #[cfg(feature = "mutants")]
    if std::env::var("HAVERSACK_LAWS_MUTANT").is_ok_and(|name| name == "reply-route") {
        haversack::mutants::enable(haversack::mutants::Mutant::ReplyRoute);
    }
    let (model, inbox) = (Gated::closed(), Inbox::open().await);
    let server = start_with(|config| configured(config, &["acme".to_owned()]), Some(model.clone())).await;
    let url = server.server.url();
    let said = |name: &str| format!("Remember that our account manager is Robin {name}.");
    Post::new("acme-desk", "m-1", "t-1", &said("Vega"), Some(&inbox.url)).send(&url).await;
    model.called(1).await;
    Post::new("acme-desk", "m-2", "t-2", &said("Lund"), Some(&inbox.url)).send(&url).await;
    model.called(2).await;
    model.open();
    for answer in inbox.has(2).await {
        let expected = if answer["text"].as_str().unwrap().contains("Vega") { "t-1" } else { "t-2" };
        assert_eq!(answer["thread"], expected, "{answer}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn a_reply_that_goes_where_the_last_message_came_from_is_seen() {
    let holds = |mutant: bool| {
        let mut law = std::process::Command::new(std::env::current_exe().unwrap());
        law.args([
            "--exact",
            "gateway::an_answer_goes_where_its_message_came_from_and_not_where_the_last_one_did",
        ]);
        if mutant {
            law.env("HAVERSACK_LAWS_MUTANT", "reply-route");
        }
        law.stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(holds(false) && !holds(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_the_turn_of_a_message_and_leaves_does_not_stop_it() {
    let (model, inbox) = (Gated::closed(), Inbox::open().await);
    let prepare = |config: &mut Config| {
        configured(config, &["acme".to_owned()]);
        (config.limits.reconnect_s, config.limits.event_streams) = (0, 1);
    };
    let server = start_with(prepare, Some(model.clone())).await;
    let kim = server.key("acme", "kim").await;
    Post::new("acme-desk", "m-1", "t-1", "Good morning.", Some(&inbox.url)).send(&server.server.url()).await;
    model.called(1).await;
    let turn = settled(async || {
        let told = server.get(&kim, "/v1/context/m-1").await;
        let tree: TraceTree = (told.status() == StatusCode::OK).then_some(told.json().await.ok())??;
        tree.work.into_iter().find(|work| work.kind == "turn").map(|work| work.id)
    })
    .await;
    let path = format!("/v1/turns/{turn}/events");
    let watched = server.get(&kim, &path).await;
    assert_eq!(watched.status(), StatusCode::OK);
    drop(watched);
    // The place of the stream is free when the server has seen that nobody reads it any more.
    let again = settled(async || {
        let again = server.get(&kim, &path).await;
        (again.status() == StatusCode::OK).then_some(again)
    })
    .await;
    model.open();
    let events = again.text().await.unwrap();
    assert!(events.contains("event: finished"), "{events}");
    assert_eq!(inbox.has(1).await[0]["in_reply_to"], "m-1");
}
