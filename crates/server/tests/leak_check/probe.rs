//! The child's side: a whole server in process, the traffic, the checks, and a report file.

use std::path::Path;

use haversack_server::auth::admin::{self, Grant};
use haversack_server::config::{Config, LogFormat};
use haversack_server::server::Options;
use haversack_server::telemetry::Telemetry;
use haversack_server::{Server, engine::Engine};

use super::canary::{TENANTS, World, tenant_name};
use super::child::{MUTANT, REPORT, Report};
use super::client::Caller;
use super::{files, handles, talk};

/// The two people of a tenant. Every tenant has the same two.
pub(crate) struct Tenant {
    pub(crate) kim: Caller,
    pub(crate) lee: Caller,
}

pub(crate) fn main() {
    let Ok(path) = std::env::var(REPORT) else { return };
    #[cfg(feature = "mutants")]
    if let Ok(name) = std::env::var(MUTANT) {
        haversack::mutants::enable(haversack::mutants::Mutant::named(&name).expect("a mutant"));
    }
    #[cfg(not(feature = "mutants"))]
    assert!(std::env::var(MUTANT).is_err(), "this build has no mutants");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = haversack::block_on(&runtime, run());
    std::fs::write(path, serde_json::to_vec(&report).expect("json")).expect("the report is written");
}

async fn run() -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::fresh();
    let mut report = Report {
        canaries: world.canaries().map(|(canary, _)| canary.to_owned()).collect(),
        ..Report::default()
    };

    let config = config(folder.path());
    let telemetry = Telemetry::install(&config.telemetry).expect("telemetry");
    let server = Server::start_with(config, Options { telemetry, ..Options::default() })
        .await
        .expect("the server starts");
    let tenants = tenants(server.engine(), &server.url()).await;

    talk::run(&world, &tenants, &mut report).await;
    handles::check(server.engine(), &world, &mut report).await;
    server.shutdown().await.expect("the server stops");
    files::check(folder.path(), &world, &mut report);
    report
}

/// The product's own defaults but for limits, which are not what is tried here.
fn config(folder: &Path) -> Config {
    let mut config = Config::default();
    config.server.bind = "127.0.0.1:0".parse().expect("an address");
    config.store.path = folder.join("data");
    config.limits.requests_per_second = 100_000;
    config.limits.burst = 100_000;
    config.limits.concurrent_turns = 1_000;
    config.limits.session_queue = 64;
    config.telemetry.log = LogFormat::Json;
    config.telemetry.filter = "debug".to_owned();
    config.telemetry.ring_turns = 2_000;
    config
}

async fn tenants(engine: &Engine, url: &str) -> Vec<Tenant> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut tenants = Vec::new();
    for tenant in 0..TENANTS {
        let mut keys = Vec::new();
        for principal in ["kim", "lee"] {
            let grant = Grant {
                tenant: tenant_name(tenant),
                principal: principal.to_owned(),
                label: String::new(),
                expires_at: None,
            };
            let issued = admin::issue(engine.store().control(), grant, "leaks").await.expect("a key");
            keys.push(Caller::new(&http, url, issued.key.reveal()));
        }
        let lee = keys.pop().expect("two keys");
        let kim = keys.pop().expect("two keys");
        tenants.push(Tenant { kim, lee });
    }
    tenants
}
