//! A process of the product: the binary itself with a command of it, in an environment with nothing of ours, its log
//! going whole into a file of the site. The stage starts and stops them; one that is dropped is killed.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::Site;

/// How long a process may take to start, and to stop once it was asked to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Process {
    name: &'static str,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a command of the product on a site, and gives the line with which it says that it is up.
    ///
    /// # Errors
    /// When the program cannot be started, or ends or says nothing before it is up.
    pub(super) async fn start(
        site: &Site,
        name: &'static str,
        arguments: &[&str],
    ) -> anyhow::Result<(Self, Value)> {
        let path = site.logs().join(format!("{name}.log"));
        // A second worker writes behind the first one.
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("{} cannot be written", path.display()))?;
        let mut command = Command::new(site.program());
        command.arg("--json").args(arguments).arg("--config").arg(site.config());
        #[cfg(feature = "mutants")]
        if let Some(mutant) =
            haversack::mutants::Mutant::ALL.into_iter().find(|m| haversack::mutants::active(*m))
        {
            command.args(["--mutant", mutant.name()]);
        }
        // Settings in our environment would lead it out of the site.
        command.env_clear().envs(site.environment().iter().cloned());
        command.current_dir(site.folder()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("`{name}` cannot be started"))?;
        let stdout = child.stdout.take().context("a process without an output")?;
        let mut process = Self { name, child, stdout: BufReader::new(stdout) };
        let mut line = String::new();
        let said = tokio::time::timeout(PATIENCE, process.stdout.read_line(&mut line)).await;
        said.with_context(|| format!("`{name}` did not start in {} s", PATIENCE.as_secs()))??;
        let Ok(up) = serde_json::from_str(&line) else {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            bail!("`{name}` did not start: {}", log.lines().last().unwrap_or("it says nothing"));
        };
        Ok((process, up))
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Asks it to stop and waits for its end; whether that was a good one.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) async fn stop(mut self) -> anyhow::Result<bool> {
        self.ask();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, async {
            // A process that still has something to say must not wait for somebody to hear it.
            self.stdout.read_to_end(&mut rest).await?;
            self.child.wait().await
        });
        match ended.await {
            Ok(status) => Ok(status?.success()),
            Err(_late) => {
                self.child.kill().await?;
                Ok(false)
            }
        }
    }

    /// As a service manager asks.
    #[cfg(unix)]
    fn ask(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself; the wait will tell.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
    }

    #[cfg(not(unix))]
    fn ask(&mut self) {
        let _ = self.child.start_kill();
    }
}
