//! Export of our spans to an OpenTelemetry collector over HTTP, off unless an endpoint is configured. Spans are
//! started at once, so that the bindings of the context they were opened under become their attributes; a processor
//! drops every attribute that may not be shown before a span is queued. `telemetry` builds it once and flushes it at
//! the end of the process; nothing of it reads the process environment.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use haversack::ContextVar;
use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider, Span,
    SpanData, SpanLimits, SpanProcessor,
};
use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{clip, shown};
use super::kind::Kind;
use super::trace::{CAUSE, LINK};
use super::tree::Bindings;

/// Attributes that name a binding begin with this.
const BINDING: &str = "haversack.context.";

/// Where spans go.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// Full address of the collector's trace route, such as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers of each export, such as an API key of the collector; resolved, not references.
    pub headers: Vec<(String, String)>,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Longest time of one export, and of the last one at shutdown.
    pub timeout: Duration,
    /// Longest time a finished span waits for its batch.
    pub interval: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values are secrets.
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Options")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// The exporter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The endpoint or a header is no valid HTTP.
    #[error("the OTLP {part} is not valid: check [telemetry.otlp] in the configuration")]
    Invalid {
        /// `endpoint` or `header`.
        part: &'static str,
    },
    /// The HTTP client or the exporter refused to start.
    #[error("the OTLP exporter could not be built: {0}")]
    Build(String),
    /// The operating system gave no thread.
    #[error("the OTLP exporter could not be started on a thread of its own")]
    Thread(#[source] std::io::Error),
}

/// A running exporter. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Otlp {
    provider: SdkTracerProvider,
    timeout: Duration,
}

impl Otlp {
    /// Builds client, exporter and batch thread on a detached thread: a blocking client must not be made inside a
    /// runtime, and a pool that outlives a request must not inherit from it.
    ///
    /// # Errors
    /// [`OtlpError`] when the configuration is not usable or the machine gives no thread.
    pub fn start(options: Options) -> Result<Self, OtlpError> {
        let built = haversack::thread::Builder::new()
            .name("otlp-start".to_owned())
            .spawn_detached(move || build(&options))
            .map_err(OtlpError::Thread)?
            .join();
        built.unwrap_or_else(|_| Err(OtlpError::Build("its start-up panicked".to_owned())))
    }

    /// The layers that turn our spans into exported ones. Events are not exported.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.provider.tracer("haversack");
        let bridge = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(true)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // The parent is the current `tracing` span, which moves with our context; a second, thread-bound notion of
            // "current" would only be able to disagree with it.
            .with_context_activation(false);
        bridge.and_then(BindingsLayer::default()).with_filter(filter_fn(|m| m.is_span() && super::own(m)))
    }

    /// Sends what is queued and stops. Blocking, for at most the configured timeout; later spans are dropped.
    ///
    /// # Errors
    /// When the collector did not take the last batch in time.
    pub fn shutdown(&self) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(self.timeout)
    }

    /// Sends what is queued. Blocking.
    ///
    /// # Errors
    /// When the collector did not take it in time.
    pub fn flush(&self) -> OTelSdkResult {
        self.provider.force_flush()
    }
}

fn build(options: &Options) -> Result<Otlp, OtlpError> {
    let timeout = options.timeout;
    let endpoint: http::Uri =
        options.endpoint.parse().map_err(|_| OtlpError::Invalid { part: "endpoint" })?;
    if endpoint.host().is_none() {
        return Err(OtlpError::Invalid { part: "endpoint" });
    }
    let client = Collector::new(options)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(options.endpoint.clone())
        .with_headers(HashMap::new())
        .with_timeout(timeout)
        .build()
        .map_err(|error| OtlpError::Build(error.to_string()))?;
    // Every setting is given here: what is left out would be looked up in the process environment.
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(8_192)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(options.interval)
        .build();
    let queue = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
    let resource = Resource::builder_empty()
        .with_service_name(options.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(SpanLimits::default())
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .with_span_processor(Shown { next: queue })
        .build();
    Ok(Otlp { provider, timeout })
}

/// The transport: a blocking client that sends the configured headers and no others, goes through no proxy and
/// follows no redirect.
struct Collector {
    client: reqwest::blocking::Client,
    headers: http::HeaderMap,
}

impl Collector {
    fn new(options: &Options) -> Result<Self, OtlpError> {
        let mut headers = http::HeaderMap::new();
        for (name, value) in &options.headers {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            let value = http::HeaderValue::from_str(value);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(OtlpError::Invalid { part: "header" });
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        crate::tls::install();
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(options.timeout)
            .build()
            .map_err(|error| OtlpError::Build(error.to_string()))?;
        Ok(Self { client, headers })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        mut request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        // The exporter adds headers from the environment; only the content's own and the configured ones go out.
        let mut headers = self.headers.clone();
        for kept in [http::header::CONTENT_TYPE, http::header::CONTENT_ENCODING] {
            if let Some(value) = request.headers().get(&kept) {
                headers.insert(kept, value.clone());
            }
        }
        *request.headers_mut() = headers;
        self.client.send_bytes(request)
    }
}

/// Drops attributes that may not be shown, then hands the span on.
#[derive(Debug)]
struct Shown<P> {
    next: P,
}

impl<P: SpanProcessor> SpanProcessor for Shown<P> {
    fn on_start(&self, span: &mut Span, context: &OtelContext) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        span.attributes.retain(|attribute| {
            let key = attribute.key.as_str();
            key.starts_with(BINDING) || key.starts_with("code.") || key == "target" || shown(key)
        });
        for attribute in &mut span.attributes {
            if let opentelemetry::Value::String(value) = &attribute.value {
                attribute.value = clip(value.as_str()).into();
            }
        }
        // Whether it failed is shown; what the error said is not.
        if let Status::Error { description } = &mut span.status {
            *description = "".into();
        }
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Ids of exported spans: ours where the span stands for something that has ids already, chance otherwise.
#[derive(Debug, Default)]
struct Ids {
    chance: RandomIdGenerator,
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let ours = TRACE_CONTEXT.bound().and_then(|trace| TraceId::from_hex(trace.trace_id()).ok());
        ours.unwrap_or_else(|| self.chance.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        STARTING.bound().unwrap_or_else(|| self.chance.new_span_id())
    }
}

/// The id of the span that is being started, for [`Ids`].
static STARTING: ContextVar<SpanId> = ContextVar::new("exported span");

/// The span id that the journal gave to what a span stands for: a request, or a unit of work. `place` is the unit of
/// work that the parent span stands in.
fn known(metadata: &Metadata<'_>, parent: Option<&Exported>) -> Option<Exported> {
    let named = metadata.name() == "http" || Kind::named(metadata.name()).is_some();
    let here = TRACE_CONTEXT.bound().filter(|_| named)?;
    // A turn inside a turn, under the same span of the trace, is one of its steps.
    (parent.is_none_or(|parent| parent.0 != here)).then_some(Exported(here))
}

/// What a span stands for; its descendants find it.
#[derive(Clone)]
struct Exported(TraceContext);

impl Exported {
    fn span_id(&self) -> Option<SpanId> {
        SpanId::from_hex(self.0.parent_id()).ok()
    }
}

/// A span of a trace in another process, or in nobody's that we know.
pub(super) fn elsewhere(trace: &TraceContext) -> Option<SpanContext> {
    let (trace_id, span_id) =
        (TraceId::from_hex(trace.trace_id()).ok()?, SpanId::from_hex(trace.parent_id()).ok()?);
    Some(SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::NONE))
}

/// Starts each new span at once and gives it the bindings of the context it was opened under. Left alone, the bridge
/// starts a span when its first child needs it, which may be under another context. A span whose cause is in another
/// process, or in an outside caller's trace, gets a link to it.
#[derive(Default)]
struct BindingsLayer {
    dispatch: OnceLock<WeakDispatch>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for BindingsLayer {
    fn on_register_dispatch(&self, dispatch: &tracing::Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else { return };
        let Some(here) = context.span(id) else { return };
        let parent = here.parent();
        let above = parent.as_ref().and_then(|parent| parent.extensions().get::<Exported>().cloned());
        let known = known(attributes.metadata(), above.as_ref());
        let start = || tracing_opentelemetry::get_otel_context(id, &dispatch);
        let started = match known.as_ref().and_then(Exported::span_id) {
            Some(span_id) => STARTING.sync_scope(span_id, start),
            None => start(),
        };
        if let Some(stands_for) = known.clone().or(above) {
            here.extensions_mut().insert(stands_for);
        }
        let Some(started) = started else { return };
        let span = started.span();
        if parent.is_none() {
            let causes = [LINK.bound(), CAUSE.bound().filter(|_| known.is_some())];
            for cause in causes.into_iter().flatten().filter_map(|cause| elsewhere(&cause)) {
                span.add_link(cause, Vec::new());
            }
        }
        let bound = Bindings::current();
        if let Some(entry) = bound.entry {
            span.set_attribute(KeyValue::new(format!("{BINDING}entry"), entry.to_string()));
        }
        if let Some(boundary) = bound.boundary {
            span.set_attribute(KeyValue::new(format!("{BINDING}boundary"), boundary));
        }
        for variable in bound.variables.into_iter().filter(|variable| variable.shown) {
            span.set_attribute(KeyValue::new(format!("{BINDING}{}", variable.name), variable.value));
        }
    }
}
