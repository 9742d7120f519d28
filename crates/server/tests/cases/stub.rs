//! A model provider on loopback that speaks as much of OpenAI's protocol as the program needs, and answers from a
//! script: the real model loop runs, and a case decides which tool is called.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};

/// The model's response to one request.
pub enum Act {
    /// Answers with a text.
    Say(String),
    /// Calls a tool with arguments.
    Call(&'static str, Value),
}

/// A provider that is stopped when its runtime ends. Cheap to clone.
#[derive(Clone, Default)]
pub struct Stub {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Value>>>,
    url: String,
}

impl Stub {
    /// Starts a provider that acts in this order; after the last act it says `Done.` to everything.
    pub async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let stub = Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), url, ..Self::default() };
        let routes = Router::new().route("/v1/chat/completions", post(answer)).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        stub
    }

    /// The `[agent.model]` section that uses it. A file that has it needs the crew of agents that has the tools, too.
    pub fn model(&self) -> String {
        format!("[agent.model]\nprovider = \"genai\"\nname = \"openai::stub\"\nbase_url = \"{}\"\n", self.url)
    }

    /// The texts of the tool results that it was sent, in order.
    pub fn results(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let messages = seen.last().and_then(|request| request["messages"].as_array().cloned());
        let tools = messages.unwrap_or_default().into_iter().filter(|message| message["role"] == "tool");
        tools.map(|message| message["content"].to_string()).collect()
    }

    /// Everything that it was sent.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(stub): State<Stub>, body: Bytes) -> impl IntoResponse {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let number = {
        let mut seen = stub.seen.lock().unwrap();
        seen.push(request);
        seen.len()
    };
    let act = stub.acts.lock().unwrap().pop_front().unwrap_or_else(|| Act::Say("Done.".to_owned()));
    let (delta, reason) = match act {
        Act::Say(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Act::Call(name, arguments) => {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            let call = json!({ "index": 0, "id": format!("call-{number}"), "type": "function", "function": function });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
    };
    let piece = json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] });
    let usage =
        json!({ "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } });
    let events = format!("data: {piece}\n\ndata: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
    ([(CONTENT_TYPE, "text/event-stream")], events)
}
