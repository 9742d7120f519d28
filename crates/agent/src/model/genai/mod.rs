//! Models of any provider that the `genai` library knows, over HTTP.
//!
//! A [`Genai`] is one model at one endpoint with one key, all three explicit: nothing is taken from the
//! environment, proxies included. Calls are streamed, bounded in time, and retried while nothing was said
//! yet. The server makes one from the configuration; agents only see a [`ChatModel`].

mod call;
mod convert;
mod fault;
mod said;
mod think;

use std::sync::Arc;
use std::time::Duration;

use genai::adapter::AdapterKind;
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ModelSpec, ServiceTarget};
use reqwest::Url;

use super::{ChatModel, ChatRequest, ModelStream};
use crate::agent::{ConfigError, ModelConfig, Secret};

const CONNECT: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A model behind HTTP.
#[derive(Clone)]
pub struct Genai {
    name: String,
    line: Arc<Line>,
}

/// How calls are made.
#[derive(Clone)]
struct Line {
    /// The model and the host, as the operator's log names them.
    name: String,
    host: String,
    /// The key, so that it can be removed from what the provider says.
    key: Option<Secret>,
    client: Client,
    model: ModelSpec,
    timeout: Duration,
    retries: u32,
    first_wait: Duration,
}

impl Genai {
    /// A model from its configuration and the key that the configuration refers to. No call is made yet.
    ///
    /// TLS uses the ring provider, installed for the process unless one is installed already; trust anchors
    /// come from the platform.
    ///
    /// # Errors
    /// [`ConfigError::Model`] when the name tells no provider, the URL is none, or a key is missing.
    pub fn new(config: &ModelConfig, key: Option<Secret>) -> Result<Self, ConfigError> {
        let name = config.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| refused("`name` is missing; give `provider::model`"))?;
        let kind = provider(name)?;
        let endpoint = config.base_url.as_deref().map(base_url).transpose()?;
        let auth = auth(kind, endpoint.as_ref(), key.clone())?;
        let host = endpoint.as_ref().and_then(Url::host_str).unwrap_or("the provider").to_owned();
        let timeout = Duration::from_secs(config.timeout_s);
        let client = client(&auth, timeout)?;
        let iden = ModelIden::new(kind, name);
        let model = match endpoint {
            Some(url) => {
                let endpoint = Endpoint::from_owned(url.as_str());
                ModelSpec::from_target(ServiceTarget { endpoint, auth, model: iden })
            }
            None => ModelSpec::from_iden(iden),
        };
        let name = name.to_owned();
        let line = Line {
            name: name.clone(),
            host,
            key,
            client,
            model,
            timeout,
            retries: config.retries,
            first_wait: FIRST_WAIT,
        };
        Ok(Self { name, line: Arc::new(line) })
    }

    /// Another time limit for one attempt than the configuration's whole seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.line).timeout = timeout;
        self
    }

    /// How long to wait before the first retry; each further one waits twice as long as the one before.
    #[must_use]
    pub fn with_first_wait(mut self, wait: Duration) -> Self {
        Arc::make_mut(&mut self.line).first_wait = wait;
        self
    }
}

impl ChatModel for Genai {
    fn name(&self) -> &str {
        &self.name
    }

    fn chat(&self, request: ChatRequest) -> ModelStream {
        call::stream(self.line.clone(), convert::request(request), convert::options(self.line.timeout))
    }
}

impl std::fmt::Debug for Genai {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Genai").field("name", &self.name).finish_non_exhaustive()
    }
}

fn refused(why: &str) -> ConfigError {
    ConfigError::Model(why.to_owned())
}

/// The provider that a model name tells. What `genai` falls back to for a name that tells none is a local
/// server, which nobody asked for.
fn provider(name: &str) -> Result<AdapterKind, ConfigError> {
    let unclear =
        || refused("`name` tells no provider; write `openai::NAME`, `anthropic::NAME`, `ollama::NAME` ..");
    let kind = AdapterKind::from_model(name).map_err(|_| unclear())?;
    let said_so =
        name.split_once("::").is_some_and(|(space, _)| AdapterKind::from_lower_str(space).is_some());
    if kind == AdapterKind::Ollama && !said_so { Err(unclear()) } else { Ok(kind) }
}

/// A base URL that paths can be joined to. The text is not repeated in errors, because it may hold a
/// password.
fn base_url(text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|_| refused("`base_url` is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("`base_url` must begin with http:// or https://"));
    }
    let mut url = url;
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The credentials, always explicit: left to itself `genai` would look into the environment.
fn auth(kind: AdapterKind, endpoint: Option<&Url>, key: Option<Secret>) -> Result<AuthData, ConfigError> {
    let from_environment = matches!(
        kind,
        AdapterKind::Vertex | AdapterKind::BedrockApi | AdapterKind::Omlx | AdapterKind::Custom(_)
    );
    if from_environment && (endpoint.is_none() || key.is_none()) {
        return Err(refused("this provider needs both `base_url` and `api_key`"));
    }
    match (key, endpoint) {
        (Some(key), _) => Ok(AuthData::from_single(key.expose())),
        (None, _) if kind == AdapterKind::Ollama => Ok(AuthData::None),
        // A local server that speaks OpenAI's protocol and wants no key gets no Authorization header at all.
        (None, Some(url)) if kind == AdapterKind::OpenAI => {
            let url = url.join("chat/completions").map_err(|_| refused("`base_url` cannot be joined to"))?;
            Ok(AuthData::RequestOverride { url: url.into(), headers: genai::Headers::default() })
        }
        (None, _) => Err(refused("`api_key` is missing; give `env:NAME` or `file:PATH`")),
    }
}

fn client(auth: &AuthData, timeout: Duration) -> Result<Client, ConfigError> {
    // Fails only when a provider is installed already, and then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .no_proxy()
        // A redirect would carry the key to another place than the configured one.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT.min(timeout))
        .user_agent(concat!("haversack/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| {
            refused("the HTTP client could not be made; are the system's certificates installed?")
        })?;
    let auth = auth.clone();
    let resolve =
        move |_: ModelIden| -> Result<Option<AuthData>, genai::resolver::Error> { Ok(Some(auth.clone())) };
    let client = Client::builder().with_reqwest(http).with_auth_resolver_fn(resolve).build();
    client.map_err(|_| refused("the client could not be made"))
}
