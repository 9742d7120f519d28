//! Telemetry: spans, logs and metrics of the process. One subscriber feeds the ring, the log and, when configured,
//! OTLP; the journal keeps what the ring saw of each unit of work in the tenant's file; metrics are counters of one
//! server. A command that runs turns installs it; the HTTP boundary and the turns
//! report to it, and nothing of what a person or a model said enters it.

mod fields;
pub mod journal;
mod kind;
pub mod log;
pub mod metrics;
pub mod otlp;
mod owner;
pub mod ring;
pub mod trace;
pub mod tree;

pub use journal::Journal;
pub use kind::Kind;
pub use metrics::Metrics;
pub use ring::Ring;
pub use tree::{TraceTree, TurnTree};

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Metadata, Subscriber};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::config::{self, LogFormat};
use log::Style;
use otlp::Otlp;
use ring::Bounds;

/// Targets of our own modules begin with this.
const OWN: &str = "haversack";

/// Longest time of one export, and of the last one at the end of the process.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time a finished span waits for its batch.
const EXPORT_INTERVAL: Duration = Duration::from_secs(2);

/// The handles of an installed telemetry. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    ring: Ring,
    metrics: Metrics,
    otlp: Option<Otlp>,
}

impl Telemetry {
    /// Installs the process's subscriber, once; a later call shares the ring and makes metrics of its own. In a program
    /// that has installed a subscriber itself, nothing is recorded.
    ///
    /// # Errors
    /// When the log filter is not understood, a secret of a header is missing, or the exporter cannot be built.
    pub fn install(config: &config::Telemetry) -> anyhow::Result<Self> {
        static SHARED: Mutex<Option<(Ring, Option<Otlp>)>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let (ring, otlp) = match &*shared {
            Some(shared) => shared.clone(),
            None => shared.insert(start(config)?).clone(),
        };
        Ok(Self { ring, metrics: Metrics::new(), otlp })
    }

    /// The ring of recent work.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The counters of this server.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends what is buffered and stops exporting. Blocking, for a few seconds when the collector does not answer: call
    /// it at the end of the process.
    pub fn flush(&self) {
        if let Some(otlp) = &self.otlp
            && otlp.shutdown().is_err()
        {
            tracing::warn!("the last spans did not reach the collector");
        }
    }
}

/// Where the log goes and how it looks.
#[derive(Debug)]
pub struct Log<W> {
    /// How a line looks.
    pub style: Style,
    /// Which events are written; see [`log::filter`].
    pub filter: Targets,
    /// Where lines go.
    pub sink: W,
}

/// A subscriber that fills the ring, writes the log and exports: what [`Telemetry::install`] installs, for tests that
/// want one of their own.
pub fn subscriber<W>(ring: &Ring, log: Option<Log<W>>, otlp: Option<&Otlp>) -> Dispatch
where
    W: Write + Send + 'static,
{
    let recorded = filter_fn(|metadata| metadata.is_span() && own(metadata));
    let base =
        Registry::default().with(ring.layer().with_filter(recorded.with_max_level_hint(LevelFilter::DEBUG)));
    // Four types instead of two options: an `Option` of a layer does not tell it which dispatcher it belongs to.
    match (log, otlp) {
        (None, None) => Dispatch::new(base),
        (None, Some(otlp)) => Dispatch::new(base.with(otlp.layer())),
        (Some(log), None) => Dispatch::new(base.with(log.layer())),
        (Some(log), Some(otlp)) => Dispatch::new(base.with(log.layer()).with(otlp.layer())),
    }
}

impl<W: Write + Send + 'static> Log<W> {
    fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(self) -> impl Layer<S> {
        log::layer(self.style, self.filter, self.sink)
    }
}

/// Whether a span or event is ours, and not too fine to keep.
fn own(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OWN) && *metadata.level() <= LevelFilter::DEBUG
}

fn start(config: &config::Telemetry) -> anyhow::Result<(Ring, Option<Otlp>)> {
    let filter = log::filter(&config.filter)?;
    let ring = Ring::new(Bounds { turns: config.ring_turns, ..Bounds::default() });
    let otlp = config.otlp.as_ref().map(exporter).transpose()?;
    let log = style(config.log).map(|style| Log { style, filter, sink: std::io::stderr() });
    // Somebody else's subscriber stays: a library must not take the process's telemetry away.
    let _ = tracing::dispatcher::set_global_default(subscriber(&ring, log, otlp.as_ref()));
    Ok((ring, otlp))
}

fn style(format: LogFormat) -> Option<Style> {
    let terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Auto if terminal => Some(Style::Human { color: true }),
        LogFormat::Auto | LogFormat::Json => Some(Style::Json),
        LogFormat::Human => Some(Style::Human { color: terminal }),
        LogFormat::Off => None,
    }
}

fn exporter(config: &config::Otlp) -> anyhow::Result<Otlp> {
    let mut headers = Vec::new();
    for (name, value) in &config.headers {
        headers.push((name.clone(), config::resolve(value)?.expose().to_owned()));
    }
    Ok(Otlp::start(otlp::Options {
        endpoint: config.endpoint.clone(),
        headers,
        service_name: config.service_name.clone(),
        timeout: EXPORT_TIMEOUT,
        interval: EXPORT_INTERVAL,
    })?)
}
