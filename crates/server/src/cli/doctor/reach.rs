//! What the server would talk to: its own address, the model, the collector, the knowledge folder. A connection is
//! opened and closed again; nothing is sent. `doctor` calls it.

use std::path::Path;
use std::time::Duration;

use haversack_agent::agent::{ModelConfig, Provider};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Check;
use crate::code::Code;
use crate::config::{Otlp, Server};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the server's address is free, or taken by the server that holds the data folder.
pub(super) async fn address(config: &Server, served: bool) -> Check {
    let (name, bind) = ("address", config.bind);
    match TcpListener::bind(bind).await {
        Ok(_) => Check::ok(name, format!("{bind} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && served => {
            Check::ok(name, format!("{bind} is taken, as is the data folder: a server runs"))
        }
        Err(error) => {
            let detail = format!("{bind} cannot be used: {error}; change `bind` under [server]");
            Check::finding(name, Code::AddressInUse, detail)
        }
    }
}

/// Whether the configured model can be used as configured.
pub(super) async fn model(config: &ModelConfig) -> Check {
    let name = "model";
    if let Err(error) = haversack_agent::model::from_config(config, &crate::config::read_secret) {
        return Check::finding(name, Code::ModelMisconfigured, error.to_string());
    }
    match (&config.provider, &config.base_url) {
        (Provider::Offline, _) => Check::ok(name, "offline rules in this process; nothing to reach"),
        (Provider::Genai, None) => Check::ok(name, "configured; its provider's own address was not tried"),
        (Provider::Genai, Some(url)) => match connect(url).await {
            Ok(to) => Check::ok(name, format!("{to} takes connections")),
            Err(why) => Check::finding(name, Code::ModelMisconfigured, format!("{why}; check `base_url`")),
        },
    }
}

/// Whether the collector takes connections.
pub(super) async fn collector(config: &Otlp) -> Check {
    match connect(&config.endpoint).await {
        Ok(to) => Check::ok("collector", format!("{to} takes connections")),
        Err(why) => Check::finding(
            "collector",
            Code::ConfigInvalid,
            format!("{why}; check `endpoint` under [telemetry.otlp]"),
        ),
    }
}

/// Whether the knowledge folder is there.
pub(super) fn knowledge(folder: Option<&Path>) -> Option<Check> {
    let folder = folder?;
    Some(match std::fs::read_dir(folder) {
        Ok(entries) => {
            let tenants = entries.flatten().filter(|entry| entry.path().is_dir()).count();
            Check::ok("knowledge", format!("{} has folders of {tenants} tenants", folder.display()))
        }
        Err(error) => {
            let detail = format!(
                "{} cannot be listed: {error}; check `knowledge` under [agent.tools]",
                folder.display()
            );
            Check::finding("knowledge", Code::ConfigInvalid, detail)
        }
    })
}

/// Opens a connection to the host of `url` and closes it. Says whom it reached, without what else a URL may hold.
async fn connect(url: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(url).map_err(|_| "the address is no URL".to_owned())?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("the address has no host".to_owned());
    };
    let to = format!("{host}:{port}");
    match timeout(PATIENCE, TcpStream::connect(&to)).await {
        Ok(Ok(_)) => Ok(to),
        Ok(Err(error)) => Err(format!("{to} cannot be reached: {error}")),
        Err(_) => Err(format!("{to} did not answer within {} s", PATIENCE.as_secs())),
    }
}
