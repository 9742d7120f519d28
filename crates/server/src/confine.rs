//! How the children of this program are confined: made from the configuration, for the steps of pipelines and for commands.
//!
//! Pipelines are an operator's, so their steps keep the network and run with what the kernel has. Commands are what a chat's
//! users have an agent run: they connect to nothing that is not listed, and do not run where the kernel cannot confine them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use haversack_agent::agent::SecretRef;
use haversack_child::{Access, Confinement, ConfinementError, Level, Limits, Sandbox, Tcp, interpreter};

use crate::code::Code;
use crate::config::{self, Config, SandboxMode};
use crate::problem::Fault;

/// Mebibytes of memory of one process, and of one file, of a command, unless said.
const COMMAND_MB: u64 = 4096;
/// Processes of our user that a command finds the most of, unless said.
const COMMAND_PROCESSES: u64 = 4096;

/// How steps of pipelines are confined.
///
/// # Errors
/// [`Code::SandboxRefused`] for a grant that would open something private.
pub fn steps(config: &Config) -> Result<Confinement, Fault> {
    let Some(sandbox) = sandbox(config, &config.pipelines.child_path)? else { return Ok(Confinement::Off) };
    Ok(Confinement::By(Arc::new(sandbox)))
}

/// How commands are confined, whose search path is `path`.
///
/// # Errors
/// As [`steps`], and where the kernel cannot confine them.
pub fn commands(config: &Config, path: &str) -> Result<Confinement, Fault> {
    commands_at(config, path, haversack_child::level())
}

fn commands_at(config: &Config, path: &str, level: Level) -> Result<Confinement, Fault> {
    let Some(sandbox) = sandbox(config, path)? else { return Ok(Confinement::Off) };
    if !level.confines() {
        let detail = format!(
            "[gateway.commands] lets chats run commands, and the kernel cannot confine them: {level}. Remove the section, use a \
             kernel from 6.2 on with Landlock enabled, or write `sandbox = \"off\"` if every user of a chat may have what this \
             server has."
        );
        return Err(Fault::new(Code::SandboxRefused, detail));
    }
    let section = &config.sandbox;
    let limits = Limits {
        file_bytes: mega(section.file_mb.or(Some(COMMAND_MB))),
        memory_bytes: mega(section.memory_mb.or(Some(COMMAND_MB))),
        processes: section.processes.or(Some(COMMAND_PROCESSES)),
        ..limits(section)
    };
    let sandbox = sandbox.required().limits(limits).tcp(Tcp::Ports(section.command_ports.clone()));
    Ok(Confinement::By(Arc::new(sandbox)))
}

fn sandbox(config: &Config, path: &str) -> Result<Option<Sandbox>, Fault> {
    let section = &config.sandbox;
    let Some(launcher) = section.launcher.as_ref().filter(|_| section.mode == SandboxMode::On) else {
        return Ok(None);
    };
    let access = Access { read: section.read.clone(), write: section.write.clone() };
    let sandbox = Sandbox::new(launcher, access, private(config)).map_err(refused)?.limits(limits(section));
    let mut needed = interpreter(OsStr::new("python3"), path);
    needed.extend(path.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from));
    let (sandbox, held) = sandbox.also_read(needed);
    for path in held {
        tracing::warn!(path = %path.display(), "children cannot read it, because it holds what is private");
    }
    Ok(Some(sandbox))
}

fn limits(section: &config::Sandbox) -> Limits {
    Limits {
        open_files: section.open_files,
        file_bytes: mega(section.file_mb),
        memory_bytes: mega(section.memory_mb),
        cpu_seconds: section.cpu_s,
        processes: section.processes,
    }
}

fn mega(value: Option<u64>) -> Option<u64> {
    value.map(|value| value * 1024 * 1024)
}

fn refused(error: ConfinementError) -> Fault {
    Fault::new(Code::SandboxRefused, format!("[sandbox] {error}."))
}

/// Returns the paths that no child may see, whatever is granted.
fn private(config: &Config) -> Vec<PathBuf> {
    let mut private = vec![config.store.path.clone(), config.keys.path(&config.store.path)];
    private.extend(config.pipelines.runs.clone());
    private.extend(config.gateway.commands.iter().map(|commands| commands.folder.clone()));
    let headers = config.telemetry.otlp.iter().flat_map(|otlp| otlp.headers.values());
    let secrets = config.pipelines.secrets.values().flat_map(std::collections::BTreeMap::values);
    let signing = config.gateway.accounts.iter().flat_map(|account| &account.secrets);
    let keys = config.agent.model.api_key.iter().chain(&config.server.metrics_token);
    let files = headers.chain(secrets).chain(signing).chain(keys);
    private.extend(files.filter_map(|reference| match reference {
        SecretRef::File(path) => Some(PathBuf::from(path)),
        SecretRef::Env(_) => None,
    }));
    private
}

#[cfg(test)]
mod tests {
    use haversack_child::{Confinement, Level};

    use super::commands_at;
    use crate::code::Code;
    use crate::config::Config;

    fn config(text: &str) -> Config {
        let mut config = Config::parse("haversack.toml".as_ref(), text, []).unwrap();
        config.sandbox.launcher = Some("/proc/self/exe".into());
        config
    }

    #[test]
    fn commands_are_refused_where_the_kernel_cannot_confine_them_unless_the_operator_says_off() {
        let fault = commands_at(&config(""), "/usr/bin", Level::NONE).unwrap_err();
        assert_eq!(fault.code(), Code::SandboxRefused);
        for off in ["sandbox = \"off\"", "[sandbox]\nmode = \"off\""] {
            let made = commands_at(&config(off), "/usr/bin", Level::NONE).unwrap();
            assert!(matches!(made, Confinement::Off), "{made:?}");
        }
    }

    #[test]
    fn a_grant_over_the_file_of_any_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "s").unwrap();
        let (grant, file) = (folder.path().display(), format!("file:{}", secret.display()));
        for setting in [
            format!("[server]\nmetrics_bind = \"127.0.0.1:0\"\nmetrics_token = \"{file}\""),
            format!("[agent.model]\nprovider = \"genai\"\nname = \"openai::m\"\napi_key = \"{file}\""),
            format!(
                "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:1\"\nheaders = {{ authorization = \"{file}\" }}"
            ),
            format!("[pipelines.secrets.northwind]\nTOKEN = \"{file}\""),
            format!(
                "[[gateway.accounts]]\nname = \"shop\"\nplatform = \"webhook\"\ntenant = \"northwind\"\nsecrets = [\"{file}\"]"
            ),
        ] {
            let config = config(&format!("[sandbox]\nread = [\"{grant}\"]\n{setting}\n"));
            let fault = super::steps(&config).unwrap_err();
            assert_eq!(fault.code(), Code::SandboxRefused, "{setting}");
        }
    }

    #[test]
    fn a_section_that_is_neither_a_mode_nor_a_table_says_so() {
        for (text, said) in
            [("sandbox = \"of\"", "`on` or `off`"), ("sandbox = 3", "a table"), ("[sandbox]\nx = 1", "`x`")]
        {
            let error = Config::parse("haversack.toml".as_ref(), text, []).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
