//! Models over HTTP, against a server on the loopback that speaks OpenAI's protocol and misbehaves on
//! command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use futures_util::stream;
use haversack_agent::agent::{ModelConfig, Provider, Secret, SecretRef};
use haversack_agent::model::genai::Genai;
use haversack_agent::model::{
    ChatRequest, Completion, Message, ModelError, ToolCall, ToolChoice, Usage, complete, from_config,
};
use haversack_agent::tool::ToolSpec;
use haversack_agent::{AgentConfig, ConfigError, TurnError};
use serde_json::{Value, json};

use super::house::House;

/// What the server does with one request.
enum Act {
    /// Answers with this status and these pieces of a body, then ends or hangs.
    Say { status: u16, headers: Vec<(&'static str, &'static str)>, pieces: Vec<Bytes>, hang: bool },
    /// Never answers.
    Ignore,
}

#[derive(Clone, Default)]
struct Server {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

impl Server {
    async fn start(acts: impl IntoIterator<Item = Act>) -> (Self, String) {
        let server = Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), seen: Arc::default() };
        let routes =
            Router::new().route("/v1/chat/completions", post(Self::answer)).with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        haversack::spawn_detached(async move { axum::serve(listener, routes).await.unwrap() });
        (server, url)
    }

    async fn answer(State(server): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        server.seen.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
        let act = server.acts.lock().unwrap().pop_front();
        match act.unwrap_or(Act::Ignore) {
            Act::Ignore => std::future::pending().await,
            Act::Say { status, headers, pieces, hang } => {
                let pieces =
                    stream::unfold((VecDeque::from(pieces), hang), |(mut pieces, hang)| async move {
                        // Each piece is a frame of its own on the wire.
                        tokio::task::yield_now().await;
                        match pieces.pop_front() {
                            Some(piece) => Some((Ok::<_, std::io::Error>(piece), (pieces, hang))),
                            None if hang => std::future::pending().await,
                            None => None,
                        }
                    });
                let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
                response = response.header("content-type", "text/event-stream");
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Body::from_stream(pieces)).unwrap()
            }
        }
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn body(&self, at: usize) -> Value {
        self.seen.lock().unwrap()[at].1.clone()
    }

    fn authorization(&self, at: usize) -> Option<String> {
        let seen = self.seen.lock().unwrap();
        seen[at].0.get("authorization").map(|value| value.to_str().unwrap().to_owned())
    }
}

/// One delta of a choice as an event of the stream.
fn delta(delta: Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
}

fn end(reason: &str) -> String {
    let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 } });
    format!("data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn says(text: &str) -> Act {
    streams(&[&delta(json!({ "role": "assistant", "content": text })), &end("stop")])
}

fn streams(pieces: &[&str]) -> Act {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
    Act::Say { status: 200, headers: Vec::new(), pieces, hang: false }
}

fn fails(status: u16) -> Act {
    let body = Bytes::from_static(b"{\"error\":{\"message\":\"canary-of-the-provider\"}}");
    Act::Say { status, headers: vec![("retry-after", "0")], pieces: vec![body], hang: false }
}

fn config(url: &str, retries: u32) -> ModelConfig {
    ModelConfig {
        provider: Provider::Genai,
        name: Some("openai::test-model".to_owned()),
        base_url: Some(url.to_owned()),
        retries,
        ..ModelConfig::default()
    }
}

fn model(url: &str, retries: u32) -> Genai {
    let model = Genai::new(&config(url, retries), Some(Secret::new("sk-own"))).unwrap();
    model.with_timeout(Duration::from_secs(20)).with_first_wait(Duration::from_millis(1))
}

fn asking(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::User { text: text.to_owned() }], ..ChatRequest::default() }
}

async fn call(model: &Genai) -> Result<Completion, ModelError> {
    match complete(model, asking("Hello"), |_| Ok(())).await {
        Ok(whole) => Ok(whole),
        Err(TurnError::Model(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn text_arrives_word_by_word_whatever_the_cuts() {
    let whole = [
        delta(json!({ "content": "Gr\u{fc}\u{df}" })),
        delta(json!({ "content": "e \u{1F600}" })),
        end("stop"),
    ]
    .concat();
    // Cut at every byte, also inside letters.
    let pieces = whole.as_bytes().iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
    let (_, url) = Server::start([Act::Say { status: 200, headers: Vec::new(), pieces, hang: false }]).await;
    let mut heard = Vec::new();
    let model = model(&url, 0);
    let whole = complete(&model, asking("Hello"), |text| {
        heard.push(text.to_owned());
        Ok(())
    });
    let whole = whole.await.unwrap();
    assert_eq!(whole.text, "Gr\u{fc}\u{df}e \u{1F600}");
    assert_eq!(heard, ["Gr\u{fc}\u{df}", "e \u{1F600}"]);
    assert_eq!(whole.usage, Some(Usage { input: 11, output: 7 }));
}

#[tokio::test]
async fn tool_calls_split_over_chunks_are_whole() {
    let part = |index: u32, rest: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        delta(json!({ "tool_calls": [call] }))
    };
    let pieces = [
        part(
            0,
            json!({ "id": "call_a", "type": "function", "function": { "name": "recall", "arguments": "" } }),
        ),
        part(0, json!({ "function": { "arguments": "{\"que" } })),
        part(
            1,
            json!({ "id": "call_b", "type": "function", "function": { "name": "remember", "arguments": "{\"te" } }),
        ),
        part(0, json!({ "function": { "arguments": "ry\":\"a\"}" } })),
        part(1, json!({ "function": { "arguments": "xt\":\"b\"}" } })),
        end("tool_calls"),
    ];
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (_, url) = Server::start([streams(&pieces)]).await;
    let whole = call(&model(&url, 0)).await.unwrap();
    let expected = |id: &str, name: &str, arguments: Value| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments,
    };
    assert_eq!(
        whole.calls,
        [
            expected("call_a", "recall", json!({ "query": "a" })),
            expected("call_b", "remember", json!({ "text": "b" }))
        ]
    );
}

#[tokio::test]
async fn the_request_says_what_ours_says() {
    let (server, url) = Server::start([says("Ok.")]).await;
    let calls =
        vec![ToolCall { id: "c1".to_owned(), name: "recall".to_owned(), arguments: json!({ "query": "x" }) }];
    let request = ChatRequest {
        system: "Be brief.".to_owned(),
        messages: vec![
            Message::User { text: "Who?".to_owned() },
            Message::Assistant { text: String::new(), calls, thoughts: None },
            Message::Tool {
                call: "c1".to_owned(),
                name: "recall".to_owned(),
                ok: true,
                content: "[]".to_owned(),
            },
        ],
        tools: vec![ToolSpec {
            name: "recall".to_owned(),
            description: "Looks.".to_owned(),
            parameters: json!({ "type": "object", "properties": {} }),
        }],
        choice: ToolChoice::Required,
    };
    complete(&model(&url, 0), request, |_| Ok(())).await.unwrap();
    let body = server.body(0);
    assert_eq!(
        (&body["model"], &body["stream"], &body["tool_choice"]),
        (&json!("test-model"), &json!(true), &json!("required"))
    );
    assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be brief." }));
    assert_eq!(body["messages"][1]["content"], "Who?");
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["name"], "recall");
    assert_eq!(body["messages"][3]["tool_call_id"], "c1");
    assert_eq!(body["tools"][0]["function"]["name"], "recall");
    assert_eq!(server.authorization(0).as_deref(), Some("Bearer sk-own"));
}

#[tokio::test]
async fn overload_is_retried_until_it_passes() {
    let (server, url) = Server::start([fails(429), fails(503), says("Here.")]).await;
    assert_eq!(call(&model(&url, 2)).await.unwrap().text, "Here.");
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn the_providers_words_are_the_source_of_the_error_and_no_part_of_its_text() {
    let (server, url) = Server::start([fails(500), fails(502), fails(500)]).await;
    let error = call(&model(&url, 1)).await.unwrap_err();
    assert!(matches!(error, ModelError::Status { status: 502, attempts: 2, .. }), "{error:?}");
    assert_eq!(server.calls(), 2);
    assert!(!error.to_string().contains("canary"), "a client reads it: {error}");
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(said, "openai::test-model at 127.0.0.1 said: canary-of-the-provider");
}

#[tokio::test]
async fn what_will_not_pass_is_not_retried() {
    for (status, refused) in [(401, true), (403, true), (400, false), (404, false)] {
        let (server, url) = Server::start([fails(status), says("Never.")]).await;
        let error = call(&model(&url, 3)).await.unwrap_err();
        assert_eq!(
            matches!(error, ModelError::Refused { status: s, .. } if s == status),
            refused,
            "{error:?}"
        );
        assert_eq!(server.calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_given_up() {
    let (server, url) = Server::start([Act::Ignore, Act::Ignore]).await;
    let model = model(&url, 1).with_timeout(Duration::from_millis(150));
    let error = call(&model).await.unwrap_err();
    assert!(matches!(error, ModelError::Timeout(_)), "{error:?}");
    assert_eq!(server.calls(), 2, "it was tried again once");
}

#[tokio::test]
async fn after_the_first_word_there_is_no_second_attempt() {
    let word = Bytes::from(delta(json!({ "content": "Well" })));
    let stalls = Act::Say { status: 200, headers: Vec::new(), pieces: vec![word], hang: true };
    let (server, url) = Server::start([stalls, says("Never.")]).await;
    // The word comes well within it, also where every core is busy.
    let model = model(&url, 3).with_timeout(Duration::from_secs(3));
    let mut heard = String::new();
    let outcome = complete(&model, asking("Hello"), |text| {
        heard.push_str(text);
        Ok(())
    });
    let outcome = outcome.await;
    assert!(matches!(outcome, Err(TurnError::Model(ModelError::Timeout(_)))), "{outcome:?}");
    assert_eq!((heard.as_str(), server.calls()), ("Well", 1));
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_errors() {
    let cut = delta(json!({ "content": "Half a" }));
    let reported = format!("data: {}\n\n", json!({ "error": { "message": "canary-of-the-provider" } }));
    let filtered = end("content_filter");
    let open_call = delta(
        json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "recall", "arguments": "{\"q" } }] }),
    );
    let too_long = [open_call, end("length")].concat();
    type Expected = fn(&ModelError) -> bool;
    let table: &[(&str, Expected)] = &[
        ("data: {not json canary}\n\n", |e| matches!(e, ModelError::Malformed(_))),
        (&cut, |e| matches!(e, ModelError::Malformed(_))),
        ("", |e| matches!(e, ModelError::Malformed(_))),
        (&reported, |e| matches!(e, ModelError::Reported(Some(_)))),
        (&filtered, |e| matches!(e, ModelError::Malformed(_))),
        (&too_long, |e| matches!(e, ModelError::Malformed(_))),
    ];
    for (body, expected) in table {
        let (_, url) = Server::start([streams(&[body])]).await;
        let error = call(&model(&url, 0)).await.unwrap_err();
        assert!(expected(&error), "{body}: {error:?}");
        assert!(!error.to_string().contains("canary"), "{error:?}");
    }
    let invalid = Act::Say {
        status: 200,
        headers: Vec::new(),
        pieces: vec![Bytes::from_static(b"data: \xff\xff\n\n")],
        hang: false,
    };
    let (_, url) = Server::start([invalid]).await;
    assert!(matches!(call(&model(&url, 0)).await, Err(ModelError::Malformed(_))));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = call(&model(&url, 0)).await.unwrap_err();
    assert!(matches!(error, ModelError::Unreachable(Some(_))), "{error:?}");
    assert!(!format!("{error:?}").contains("/v1/chat"), "a URL may hold a key: {error:?}");
}

#[tokio::test]
async fn a_redirect_does_not_take_the_key_elsewhere() {
    let (thief, elsewhere) = Server::start([says("Thanks for the key.")]).await;
    let location: &'static str = format!("{elsewhere}/chat/completions").leak();
    let moved =
        Act::Say { status: 307, headers: vec![("location", location)], pieces: Vec::new(), hang: false };
    let (_, url) = Server::start([moved]).await;
    let error = call(&model(&url, 0)).await.unwrap_err();
    assert!(matches!(error, ModelError::Status { status: 307, .. }), "{error:?}");
    assert_eq!(thief.calls(), 0);
}

#[tokio::test]
async fn a_whole_turn_runs_over_http() {
    let transfer = delta(
        json!({ "tool_calls": [{ "index": 0, "id": "t", "function": { "name": "transfer_to_billing", "arguments": "{}" } }] }),
    );
    let remember = delta(
        json!({ "tool_calls": [{ "index": 0, "id": "r", "function": { "name": "remember", "arguments": "{\"text\":\"The PO number is PQ-1.\",\"subject\":\"po number\"}" } }] }),
    );
    let (server, url) = Server::start([
        streams(&[&transfer, &end("tool_calls")]),
        streams(&[&remember, &end("tool_calls")]),
        says("Noted."),
        streams(&[&transfer, &end("tool_calls")]),
        says("PQ-1."),
    ])
    .await;
    let house = House::with(AgentConfig::default(), Arc::new(model(&url, 0)), Vec::new());
    let reply = house.say("acme", "one", "Our PO number is PQ-1.").await.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.agent.as_str(), reply.model.as_str()),
        ("Noted.", "billing", "openai::test-model")
    );
    assert_eq!(reply.tools.len(), 1);
    house.say("acme", "two", "What is the PO number?").await.unwrap();
    let system = server.body(4)["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(system.contains("memory: The PO number is PQ-1."), "{system}");
}

#[test]
fn a_model_needs_a_provider_a_url_and_a_key() {
    let with = |change: fn(&mut ModelConfig), key: Option<&str>| {
        let mut config = config("http://127.0.0.1:1/v1", 0);
        change(&mut config);
        Genai::new(&config, key.map(Secret::new)).map(|_| ()).map_err(|error| error.to_string())
    };
    let refused = |outcome: Result<(), String>, part: &str| {
        let error = outcome.unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    refused(with(|c| c.name = None, Some("k")), "`name` is missing");
    refused(with(|c| c.name = Some("my-model".to_owned()), Some("k")), "tells no provider");
    refused(with(|c| c.base_url = Some("user:canary@host".to_owned()), Some("k")), "must begin with http");
    refused(with(|c| c.base_url = Some("no url".to_owned()), Some("k")), "not a URL");
    refused(with(|c| c.base_url = None, None), "`api_key` is missing");
    refused(with(|c| c.name = Some("vertex::x".to_owned()), None), "both `base_url` and `api_key`");
    assert_eq!(with(|_| (), None), Ok(()), "a local server may want no key");
    assert_eq!(with(|c| c.base_url = None, Some("k")), Ok(()));
    assert_eq!(with(|c| c.name = Some("anthropic::x".to_owned()), Some("k")), Ok(()));
    assert_eq!(with(|c| c.name = Some("ollama::x".to_owned()), None), Ok(()));
}

#[test]
fn the_secret_is_read_by_whoever_makes_the_model() {
    let mut config = config("http://127.0.0.1:1/v1", 0);
    config.api_key = Some(SecretRef::Env("MY_KEY".to_owned()));
    let asked = Mutex::new(Vec::new());
    let read = |reference: &SecretRef| {
        asked.lock().unwrap().push(reference.to_string());
        Ok(Secret::new("sk"))
    };
    assert_eq!(from_config(&config, &read).unwrap().name(), "openai::test-model");
    assert_eq!(*asked.lock().unwrap(), ["env:MY_KEY"]);
    let failing = from_config(&config, &|_| Err("it is not set".to_owned()));
    let Err(ConfigError::Secret { reference, why }) = failing.map(|_| ()) else { panic!() };
    assert_eq!((reference.as_str(), why.as_str()), ("env:MY_KEY", "it is not set"));
}

/// Run by the test below, in a process whose environment holds canaries.
#[tokio::test]
#[ignore = "needs canary values in its environment; the next test runs it"]
async fn in_an_environment_of_canaries() {
    let (server, url) = Server::start([says("One."), says("Two.")]).await;
    assert_eq!(
        call(&model(&url, 0)).await.unwrap().text,
        "One.",
        "a proxy of the environment would have swallowed it"
    );
    assert_eq!(server.authorization(0).as_deref(), Some("Bearer sk-own"));
    let keyless = Genai::new(&config(&url, 0), None).unwrap();
    assert_eq!(call(&keyless).await.unwrap().text, "Two.");
    assert_eq!(server.authorization(1), None, "no key is no key, whatever the environment says");
    let mut missing = config(&url, 0);
    missing.base_url = None;
    assert!(Genai::new(&missing, None).is_err(), "a key of the environment does not stand in");
}

#[test]
fn the_environment_is_not_read() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "provider::in_an_environment_of_canaries", "--ignored", "--nocapture"])
        .env("OPENAI_API_KEY", "sk-canary")
        .env("GENAI_1_API_KEY", "sk-canary")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "the test was found: {said}");
}

#[tokio::test]
async fn reasoning_goes_back_to_the_provider_with_its_tool_call() {
    let reasons = delta(json!({ "role": "assistant", "reasoning_content": "Look it up first." }));
    let calls = delta(
        json!({ "tool_calls": [{ "index": 0, "id": "c1", "function": { "name": "recall", "arguments": "{}" } }] }),
    );
    let (server, url) =
        Server::start([streams(&[&reasons, &calls, &end("tool_calls")]), says("Found.")]).await;
    let model = model(&url, 0);
    let first = call(&model).await.unwrap();
    assert_eq!(first.text, "");
    let stored = serde_json::to_string(&Message::Assistant {
        text: first.text,
        calls: first.calls,
        thoughts: first.thoughts,
    });
    let again = serde_json::from_str(&stored.unwrap()).unwrap();
    let result = Message::Tool {
        call: "c1".to_owned(),
        name: "recall".to_owned(),
        ok: true,
        content: "[]".to_owned(),
    };
    let mut request = asking("Who?");
    request.messages.extend([again, result]);
    complete(&model, request, |_| Ok(())).await.unwrap();
    assert_eq!(server.body(1)["messages"][1]["reasoning_content"], "Look it up first.", "{}", server.body(1));
}

#[tokio::test]
async fn thinking_in_tags_never_reaches_a_person() {
    let pieces = ["<th", "ink>The user says", " hi.</thi", "nk>\n\n", "Hello."];
    let pieces: Vec<String> = pieces.iter().map(|text| delta(json!({ "content": text }))).collect();
    let mut all: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let end = end("stop");
    all.push(&end);
    let (_, url) = Server::start([streams(&all)]).await;
    let mut heard = String::new();
    let model = model(&url, 0);
    let answer = complete(&model, asking("hi"), |text| {
        heard.push_str(text);
        Ok(())
    });
    assert_eq!(answer.await.unwrap().text, "Hello.");
    assert_eq!(heard, "Hello.");
}

#[tokio::test]
async fn an_answer_cut_by_length_says_so() {
    let (_, url) =
        Server::start([streams(&[&delta(json!({ "content": "First, you" })), &end("length")])]).await;
    let answer = call(&model(&url, 0)).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.cut), ("First, you", true));
}

#[tokio::test]
async fn a_wait_that_is_too_long_fails_at_once() {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let date: &'static str =
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later).unwrap().leak();
    for wait in ["45", date] {
        let body = Bytes::from_static(b"{\"error\":{\"message\":\"slow down\"}}");
        let busy =
            Act::Say { status: 429, headers: vec![("retry-after", wait)], pieces: vec![body], hang: false };
        let (server, url) = Server::start([busy, says("Never.")]).await;
        let error = call(&model(&url, 3)).await.unwrap_err();
        assert!(matches!(error, ModelError::Status { status: 429, attempts: 1, .. }), "{error:?}");
        assert_eq!(server.calls(), 1, "{wait}");
    }
}
