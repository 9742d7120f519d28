//! A gateway in a folder of its own, behind a real listener, and people who write to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haversack::testing::Isolated;
use haversack::well_known::{Principal, TenantId};
use haversack_gateway::ledger::LedgerOptions;
use haversack_gateway::message::ChatKind;
use haversack_gateway::platform::webhook::{self, Callbacks as Allowed, SigningSecret, sign};
use haversack_gateway::platform::websocket::{self, Peer};
use haversack_gateway::{
    Account, Accounts, Arrival, Desk, Gateway, GatewayOptions, Rate, Reply, Responder, Responding, Unanswered,
};
use haversack_store::{KeyFile, Store, StoreError, StoreOptions, now_millis};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The secret of every account.
pub(crate) const SECRET: &str = "a secret of at least sixteen bytes";

/// A responder made of a function.
pub(crate) struct Answers<F>(pub(crate) F);

impl<F, R> Responder for Answers<F>
where
    F: Fn(Arrival) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Unanswered>> + Send + 'static,
{
    fn respond(&self, arrival: Arrival) -> Responding {
        Box::pin((self.0)(arrival))
    }
}

/// Says back what was said.
pub(crate) fn echo() -> Arc<dyn Responder> {
    Arc::new(Answers(|arrival: Arrival| async move {
        Ok(Reply::new(format!("echo {}", arrival.message().unwrap().text)))
    }))
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn principal(name: &str) -> Principal {
    Principal::new(name).unwrap()
}

/// An account as a configuration file has it.
pub(crate) fn plain(name: &str, platform: &str, of: &str) -> Account {
    serde_json::from_value(json!({ "name": name, "platform": platform, "tenant": of })).unwrap()
}

/// A webhook account whose users `u-kim` and `u-lee` are `kim` and `lee`, and that may call this origin back.
pub(crate) fn account(name: &str, of: &str, origin: &str) -> Account {
    let mut account = plain(name, webhook::WEBHOOK, of)
        .with_user("u-kim", principal("kim"))
        .with_user("u-lee", principal("lee"));
    account.webhook.secrets = vec![SigningSecret::parse(SECRET).unwrap()];
    account.webhook.callbacks = Allowed::new([origin]).unwrap();
    account
}

/// Impatient, so that what goes wrong goes wrong at once.
pub(crate) fn options() -> GatewayOptions {
    GatewayOptions {
        grace: Duration::from_millis(200),
        tick: Duration::from_millis(20),
        ledger: LedgerOptions {
            part_timeout: Duration::from_millis(1500),
            first_wait: Duration::from_millis(10),
            longest_wait: Duration::from_millis(50),
            ..LedgerOptions::default()
        },
        ..GatewayOptions::default()
    }
}

pub(crate) struct House {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) store: Store,
    pub(crate) desk: Desk,
    pub(crate) gateway: Gateway,
    pub(crate) origin: String,
    pub(crate) http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

/// Breaks a fence, where [`crate::mutants`] asks for it.
fn plant() {
    #[cfg(feature = "mutants")]
    if let Some(mutant) = std::env::var("HAVERSACK_LAWS_MUTANT").ok().as_deref() {
        haversack::mutants::enable(haversack::mutants::Mutant::named(mutant).unwrap());
    }
}

pub(crate) fn store_in(folder: &Path) -> Store {
    let data = folder.join("data");
    loop {
        match Store::open(&data, StoreOptions::default()) {
            // A child that another test has forked and that has not begun yet holds what we had open a moment ago.
            Err(StoreError::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

pub(crate) fn desk_in(folder: &Path, accounts: Vec<Account>, options: GatewayOptions) -> (Store, Desk) {
    plant();
    let data = folder.join("data");
    let store = store_in(folder);
    let keys = KeyFile::open(&folder.join("keys"), &data).unwrap();
    let desk =
        Desk::new(store.clone(), keys, Accounts::new(accounts).unwrap(), client(), [], options).unwrap();
    (store, desk)
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    webhook::client().build().unwrap()
}

impl House {
    pub(crate) async fn open(accounts: Vec<Account>, responder: Arc<dyn Responder>) -> Self {
        Self::with(accounts, options(), responder).await
    }

    pub(crate) async fn with(
        accounts: Vec<Account>,
        options: GatewayOptions,
        responder: Arc<dyn Responder>,
    ) -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap()), accounts, options, |_| responder).await
    }

    /// A gateway whose tenants have a rate.
    pub(crate) async fn rated(accounts: Vec<Account>, rate: Rate) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (store, desk) = desk_in(folder.path(), accounts, options());
        let gateway = Gateway::new(desk.clone(), echo()).with_rate(rate);
        Self::over(folder, store, desk, gateway, |_| true).await
    }

    /// A gateway that knows people for as long as they are `known`.
    pub(crate) async fn knowing(
        responder: Arc<dyn Responder>,
        known: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (store, desk) = desk_in(folder.path(), Vec::new(), options());
        let gateway = Gateway::new(desk.clone(), responder);
        Self::over(folder, store, desk, gateway, known).await
    }

    /// A gateway whose responder has the desk.
    pub(crate) async fn in_folder(
        folder: Arc<TempDir>,
        accounts: Vec<Account>,
        options: GatewayOptions,
        responder: impl FnOnce(&Desk) -> Arc<dyn Responder>,
    ) -> Self {
        let (store, desk) = desk_in(folder.path(), accounts, options);
        let gateway = Gateway::new(desk.clone(), responder(&desk));
        Self::over(folder, store, desk, gateway, |_| true).await
    }

    async fn over(
        folder: Arc<TempDir>,
        store: Store,
        desk: Desk,
        gateway: Gateway,
        known: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let known = Arc::new(known);
        let authenticate: websocket::Authenticate = Arc::new(move |headers| {
            let known = known.clone();
            Box::pin(async move {
                let who = headers.get("authorization")?.to_str().ok()?.to_owned();
                let (tenant, principal) = who.split_once('/')?;
                known(&who)
                    .then(|| Peer { tenant: self::tenant(tenant), principal: self::principal(principal) })
            })
        });
        let router = webhook::router(gateway.clone()).merge(websocket::router(gateway.clone(), authenticate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        haversack::spawn_detached(async move { axum::serve(listener, router).await });
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = gateway.clone();
        let running = haversack::spawn_detached(async move {
            runs.run(async {
                let _ = stopped.await;
            })
            .await;
        });
        Self { folder, store, desk, gateway, origin, http: client(), stop: Some(stop), running }
    }

    /// Stops in order and gives the folder back, as a restart would.
    pub(crate) async fn close(mut self) -> Arc<TempDir> {
        self.gateway.drain(Duration::from_secs(5)).await;
        drop(self.stop.take());
        (&mut self.running).await.unwrap();
        self.store.close().await.unwrap();
        self.folder.clone()
    }

    /// Runs something as a person of a tenant, with no message.
    pub(crate) async fn inside<F: Future>(&self, of: &str, who: &str, work: F) -> F::Output {
        Isolated::new().tenant(of).principal(who).wrap(work).await
    }
}

/// A message to a webhook.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) chat: String,
    pub(crate) kind: ChatKind,
    pub(crate) thread: Option<String>,
    pub(crate) user: String,
    pub(crate) text: String,
    pub(crate) callback: Option<String>,
    pub(crate) extra: Value,
}

impl Post {
    /// From `u-kim`, in the direct chat `c1`.
    pub(crate) fn new(account: &str, id: &str, text: &str) -> Self {
        Self {
            account: account.to_owned(),
            id: id.to_owned(),
            chat: "c1".to_owned(),
            kind: ChatKind::Direct,
            thread: None,
            user: "u-kim".to_owned(),
            text: text.to_owned(),
            callback: None,
            extra: json!({}),
        }
    }

    pub(crate) fn from(mut self, user: &str) -> Self {
        self.user = user.to_owned();
        self
    }

    pub(crate) fn in_chat(mut self, chat: &str) -> Self {
        self.chat = chat.to_owned();
        self
    }

    pub(crate) fn in_group(mut self, chat: &str) -> Self {
        self.chat = chat.to_owned();
        self.kind = ChatKind::Group;
        self
    }

    pub(crate) fn in_thread(mut self, thread: &str) -> Self {
        self.thread = Some(thread.to_owned());
        self
    }

    pub(crate) fn calling(mut self, url: String) -> Self {
        self.callback = Some(url);
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = json!({
            "chat": { "id": self.chat, "type": self.kind, "name": format!("the chat {}", self.chat) },
            "sender": { "id": self.user, "name": format!("the user {}", self.user) },
            "text": self.text,
        });
        let fields = body.as_object_mut().unwrap();
        if let Some(thread) = &self.thread {
            fields.insert("thread".to_owned(), json!(thread));
        }
        if let Some(callback) = &self.callback {
            fields.insert("callback".to_owned(), json!(callback));
        }
        fields.extend(self.extra.as_object().unwrap().clone());
        serde_json::to_vec(&body).unwrap()
    }

    /// Sends it, signed now.
    pub(crate) async fn send(&self, house: &House) -> (u16, Value) {
        self.send_at(house, now_millis() / 1000, SECRET).await
    }

    pub(crate) async fn send_at(&self, house: &House, time: i64, secret: &str) -> (u16, Value) {
        let body = self.body();
        let signature = sign::sign(&SigningSecret::parse(secret).unwrap(), &self.id, time, &body);
        self.send_raw(house, time, &signature, body).await
    }

    pub(crate) async fn send_raw(
        &self,
        house: &House,
        time: i64,
        signature: &str,
        body: Vec<u8>,
    ) -> (u16, Value) {
        let answer = house
            .http
            .post(format!("{}/gateway/webhook/{}", house.origin, self.account))
            .header(sign::ID, &self.id)
            .header(sign::TIME, time.to_string())
            .header(sign::SIGNATURE, signature)
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}
