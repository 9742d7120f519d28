//! Starts servers for the laws: a temporary data folder, a free port, keys for whoever speaks, and a model
//! that answers only when it may. Nothing here waits for time to pass; tests wait for what they caused.

use std::sync::{Arc, Once};

use futures_util::FutureExt;
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use haversack_agent::model::{ChatModel, ChatRequest, ModelStream, Offline};
use haversack_server::Server;
use haversack_server::auth::KeyRole;
use haversack_server::auth::admin::{self, Grant};
use haversack_server::boundary::HTTP;
use haversack_server::config::Config;
use haversack_server::server::Options;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

/// A server with a data folder of its own.
pub struct TestServer {
    pub server: Server,
    pub http: Client,
    pub folder: tempfile::TempDir,
}

/// Starts a server with default limits and the offline model.
pub async fn start() -> TestServer {
    start_with(|_| {}, None).await
}

/// Starts a server whose configuration was changed, with another model.
pub async fn start_with(change: impl FnOnce(&mut Config), model: Option<Arc<dyn ChatModel>>) -> TestServer {
    start_with_options(|config| {
        change(config);
        Options { model, ..Options::default() }
    })
    .await
}

/// Starts a server with whatever `prepare` makes of its configuration.
pub async fn start_with_options(prepare: impl FnOnce(&mut Config) -> Options) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.bind = "127.0.0.1:0".parse().unwrap();
    config.store.path = folder.path().join("data");
    let options = prepare(&mut config);
    let server = Server::start_with(config, options).await.unwrap();
    TestServer { server, http: client(), folder }
}

/// An HTTP client that keeps no connection, so that dropping a request closes its connection.
pub fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
}

impl TestServer {
    /// A new key.
    pub async fn key(&self, tenant: &str, principal: &str) -> Key {
        let grant = Grant {
            tenant: tenant.to_owned(),
            principal: principal.to_owned(),
            label: String::new(),
            expires_at: None,
            role: KeyRole::Member,
        };
        let issued = admin::issue(self.server.engine().store().control(), grant, "test").await.unwrap();
        Key { id: issued.row.id.clone(), text: issued.key.reveal() }
    }

    /// A request with a key.
    pub fn request(&self, method: Method, path: &str, key: &Key) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.url())).bearer_auth(&key.text)
    }

    /// A request for a turn.
    pub fn turn(&self, key: &Key, session: &str, message: &str) -> RequestBuilder {
        self.request(Method::POST, &format!("/v1/sessions/{session}/turns"), key)
            .json(&json!({ "message": message }))
    }

    /// A turn that must give a reply; its text.
    pub async fn say(&self, key: &Key, session: &str, message: &str) -> String {
        let reply = json_of(self.turn(key, session, message).send().await.unwrap(), StatusCode::OK).await;
        reply["text"].as_str().unwrap().to_owned()
    }

    /// Reads a path.
    pub async fn get(&self, key: &Key, path: &str) -> Response {
        self.request(Method::GET, path, key).send().await.unwrap()
    }
}

/// An arrival of kim of acme, for laws that ask the program itself.
pub fn kims() -> haversack::Visit {
    let (acme, kim) = (TenantId::new("acme").unwrap(), Principal::new("kim").unwrap());
    HTTP.enter(|bind| bind.bind(&TENANT_ID, acme).bind(&PRINCIPAL, kim)).unwrap()
}

/// A key that was issued.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub text: String,
}

/// The JSON of an answer that must have this status.
pub async fn json_of(response: Response, status: StatusCode) -> Value {
    let got = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Demands a whole problem document with this code, and gives back its text.
pub async fn problem(response: Response, code: &str) -> String {
    let status = response.status();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("application/problem+json"), "{code}");
    let request_id = header("x-request-id").unwrap();
    let text = response.text().await.unwrap();
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["code"], code, "{text}");
    assert_eq!(problem["status"], status.as_u16(), "{text}");
    assert_eq!(problem["type"], format!("/errors/{code}"), "{text}");
    assert_eq!(problem["instance"], request_id, "{text}");
    assert!(
        !problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty()
    );
    text
}

/// The offline model behind a gate: each call is counted when it comes, and answered when it may.
pub struct Gated {
    gate: Arc<Semaphore>,
    calls: watch::Sender<usize>,
    offline: Offline,
}

impl Gated {
    /// A model whose gate is closed.
    pub fn closed() -> Arc<Self> {
        Arc::new(Self { gate: Arc::new(Semaphore::new(0)), calls: watch::Sender::new(0), offline: Offline })
    }

    /// Lets every call through from now on.
    pub fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until this many calls have come.
    pub async fn called(&self, times: usize) {
        self.calls.subscribe().wait_for(|calls| *calls >= times).await.unwrap();
    }

    /// How many calls have come.
    pub fn calls(&self) -> usize {
        *self.calls.borrow()
    }
}

impl ChatModel for Gated {
    fn name(&self) -> &str {
        "gated"
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        self.calls.send_modify(|calls| *calls += 1);
        let gate = self.gate.clone();
        let answer = self.offline.chat(request);
        let answer = async move {
            gate.acquire().await.unwrap().forget();
            answer
        };
        Box::pin(answer.flatten_stream())
    }
}
