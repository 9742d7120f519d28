//! A whole server: engine, boundary and listener, started and stopped as one. `serve` runs one until a signal
//! comes; tests and benchmarks start as many as they like, each on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haversack_agent::model::ChatModel;
use haversack_mcp::McpServer;

use crate::auth::admin;
use crate::code::Code;
use crate::config::Config;
use crate::descriptors::Descriptors;
use crate::engine::{Engine, Role};
use crate::gateway;
use crate::http::{App, Bounds, Listener, Serving, metrics_router, router};
use crate::problem::Fault;
use crate::telemetry::Telemetry;
use crate::work::{Working, outbox};

/// What a server is started with besides its configuration.
#[derive(Default)]
pub struct Options {
    /// The telemetry of the process; without it nothing is recorded.
    pub telemetry: Telemetry,
    /// A model instead of the configured one, for tests.
    pub model: Option<Arc<dyn ChatModel>>,
}

/// A running server. Stop it with [`shutdown`](Self::shutdown); dropping it leaves the stop to the end of the
/// process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    engine: Engine,
    serving: Serving,
    metrics: Option<Serving>,
    gateway: gateway::Running,
    worker: Option<Working>,
    relaying: tokio::task::JoinHandle<()>,
    mcp: Option<McpServer>,
    grace: Duration,
}

impl Server {
    /// Starts a server on `config` alone.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with).
    pub async fn start(config: Config) -> Result<Self, Fault> {
        Self::start_with(config, Options::default()).await
    }

    /// Binds the address, opens the engine, and serves.
    ///
    /// # Errors
    /// [`Code::AddressInUse`], before anything is opened; the faults of [`Engine::open`];
    /// [`Code::DemoKeysExposed`] when demo keys would be reachable from other machines. Nothing runs then.
    pub async fn start_with(config: Config, options: Options) -> Result<Self, Fault> {
        let exposed = !config.server.bind.ip().is_loopback();
        if exposed && config.server.demo_keys == Some(true) {
            return Err(demo_keys_exposed(config.server.bind));
        }
        let listener = Listener::bind(config.server.bind).await?;
        let address = listener.address();
        let of_metrics = match config.server.metrics_bind {
            Some(bind) => Some(Listener::bind(bind).await?),
            None => None,
        };
        let metrics_address = of_metrics.as_ref().map(Listener::address);
        let bounds = bounds(&config);
        let (limits, grace) = (config.limits.clone(), config.server.grace());
        let (jobs, messages, server) = (config.jobs.clone(), config.gateway.clone(), config.server.clone());
        let trusted = config.telemetry.trusted.clone();
        let offered = gateway::offered::lines(&gateway::offered::offered(&config));
        let opening = haversack::spawn_blocking(move || {
            Engine::open(&config, options.telemetry, options.model, Role::Server)
        });
        let engine = opening.await.map_err(Fault::internal)??;
        if exposed && !admin::active_demo(engine.store().control()).await?.is_empty() {
            engine.close(Duration::ZERO).await?;
            return Err(demo_keys_exposed(address));
        }
        let mcp = engine.mcp().endpoint();
        for line in &offered {
            tracing::info!("tools of agents: {line}");
        }
        let app = App::new(engine.clone(), limits.clone(), &jobs, &messages, trusted, &server)?;
        let gateway = gateway::over(&engine).with_rate(app.rate());
        // What the last server accepted and did not answer is taken up once this one answers, and still comes first.
        if let Err(error) = gateway.look_back().await {
            tracing::warn!(error = %error, "messages that were left could not be counted; new ones do not wait for them");
        }
        let largest = limits.body_bytes.max(messages.body_bytes);
        let metrics =
            of_metrics.map(|listener| listener.serve(metrics_router(app.clone()), &limits, bounds, largest));
        let serving = listener.serve(router(app, &gateway, mcp.as_ref()), &limits, bounds, largest);
        let gateway = gateway::Running::start(gateway);
        let worker = jobs.embedded_worker.then(|| Working::start(engine.work()));
        let relaying = haversack::spawn_detached(relay(engine.clone()));
        Ok(Self { address, metrics_address, engine, serving, metrics, gateway, worker, relaying, mcp, grace })
    }

    /// The address that it listens on, with its real port.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the metrics, where they have a listener of their own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What is behind the boundary.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops: takes no new turns and no messages at once, lets running ones finish within the grace period while `/readyz`
    /// says no, delivers what they said, answers what is open, and closes the store.
    ///
    /// # Errors
    /// The store's faults while it closes.
    pub async fn shutdown(self) -> Result<(), Fault> {
        // What it did not come to is done at the next start.
        self.relaying.abort();
        tokio::join!(self.gateway.drain(self.grace), self.engine.turns().drain(self.grace));
        if let Some(worker) = self.worker {
            worker.stop().await;
        }
        self.gateway.stop().await;
        if let Some(mcp) = self.mcp {
            mcp.close();
        }
        self.serving.stop().await;
        if let Some(metrics) = self.metrics {
            metrics.stop().await;
        }
        self.engine.close(Duration::ZERO).await?;
        Ok(())
    }
}

/// Returns the bounds of connections and bytes, within the available descriptors.
fn bounds(config: &Config) -> Bounds {
    let descriptors = Descriptors::now(config);
    let Descriptors { limit, files, connections } = descriptors;
    if descriptors.suffice(config) {
        tracing::info!(limit, files, connections, "file descriptors are enough");
    } else {
        tracing::warn!(
            limit,
            files,
            connections,
            configured = config.limits.connections,
            "file descriptors allow fewer connections than configured; raise the hard limit"
        );
    }
    let limits = &config.limits;
    Bounds {
        connections,
        connections_per_address: limits.connections_per_address.unwrap_or((connections / 2).max(64)),
        bytes: limits.request_bytes,
        bytes_per_address: limits.request_bytes_per_address.unwrap_or(limits.request_bytes / 4),
    }
}

/// Moves the jobs that a crash left behind.
async fn relay(engine: Engine) {
    match outbox::relay_all(engine.store(), engine.work()).await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "jobs that were stored before the last stop are queued now"),
        Err(fault) => {
            tracing::warn!(code = %fault.code(), "no outbox was relayed; the next start tries again");
        }
    }
}

fn demo_keys_exposed(address: SocketAddr) -> Fault {
    let detail = format!(
        "Demo keys are active, and {address} can be reached from other machines. Issue keys with `haversack keys \
         issue`, set `demo_keys = false` under `[server]` and revoke the demo keys, or bind to 127.0.0.1."
    );
    Fault::new(Code::DemoKeysExposed, detail)
}
