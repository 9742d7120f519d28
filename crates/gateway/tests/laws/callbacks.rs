//! A callback server: it notes what it is sent, and answers as the test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use haversack_gateway::platform::webhook::{SigningSecret, sign};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::mpsc;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) body: Value,
    time: i64,
    signature: String,
    raw: Vec<u8>,
}

impl Heard {
    /// Whether the signature is that of this secret.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let secrets = [SigningSecret::parse(secret).unwrap()];
        sign::verify(&secrets, &self.id, self.time, &self.raw, &self.signature, 60, self.time).is_ok()
    }
}

/// What the server says.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Status(u16),
    /// Takes the request and never answers.
    Hang,
}

pub(crate) struct Callbacks {
    pub(crate) origin: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    says: Arc<Mutex<HashMap<String, Vec<Say>>>>,
}

#[derive(Clone)]
struct Shared {
    heard: mpsc::UnboundedSender<Heard>,
    says: Arc<Mutex<HashMap<String, Vec<Say>>>>,
}

impl Callbacks {
    pub(crate) async fn start() -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let says: Arc<Mutex<HashMap<String, Vec<Say>>>> = Arc::default();
        let shared = Shared { heard: sender, says: says.clone() };
        let router = Router::new().fallback(take).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        haversack::spawn_detached(async move { axum::serve(listener, router).await });
        Self { origin, heard, says }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What the next requests of a path are answered with; 204 afterwards.
    pub(crate) fn script(&self, path: &str, says: impl IntoIterator<Item = Say>) {
        self.says.lock().unwrap().insert(path.to_owned(), says.into_iter().collect());
    }

    pub(crate) async fn next(&mut self) -> Heard {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), self.heard.recv());
        next.await.expect("a callback within half a minute").unwrap()
    }

    /// What was heard and not looked at yet.
    pub(crate) fn rest(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, raw: Bytes) -> StatusCode {
    let header = |name| headers[name].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&raw).unwrap();
    let heard = Heard {
        path: uri.path().to_owned(),
        id: header(sign::ID),
        text: body["text"].as_str().unwrap().to_owned(),
        time: header(sign::TIME).parse().unwrap(),
        signature: header(sign::SIGNATURE),
        raw: raw.to_vec(),
        body,
    };
    let say = {
        let mut says = shared.says.lock().unwrap();
        let script = says.get_mut(uri.path()).filter(|script| !script.is_empty());
        script.map_or(Say::Status(204), |script| script.remove(0))
    };
    let _ = shared.heard.send(heard);
    match say {
        Say::Status(status) => StatusCode::from_u16(status).unwrap(),
        Say::Hang => std::future::pending().await,
    }
}
