//! Commands: child processes of a session, in the foreground and in the background.
//!
//! A child gets an environment that is built for it, a folder of its tenant, and a process group of its own. One in the
//! background outlives its turn: it is a row of the control file with the sealed context that started it, and its end is told
//! there, once, whatever the gateway handles meanwhile and also after a restart. Tools start, poll, wait and end processes;
//! each sees those of its own session only.

mod child;
mod environment;
mod left;
mod live;
mod roll;
mod rows;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::TenantId;
use haversack_child::Confinement;
use haversack_store::{KeyFile, Store};

pub use child::Finished;
pub use environment::Environment;
pub use live::{NewProcess, ProcessStatus, State};

use crate::deferred::Sealer;
use crate::hooks::Presence;
use crate::ledger::Ledger;
use roll::Roll;

/// How commands run.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// What a child may inherit.
    pub environment: Environment,
    /// How commands are confined. A command may use its tenant's folder besides.
    pub confinement: Confinement,
    /// Where commands run: each tenant has a folder in it.
    pub folder: PathBuf,
    /// The shell that is given `-c` and the command.
    pub shell: PathBuf,
    /// How long a command in the foreground may take.
    pub foreground: Duration,
    /// How long one wait for a process in the background may take.
    pub wait: Duration,
    /// Whose commands are run; everybody's without.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// How much of the end of an output is kept, in bytes.
    pub output: usize,
    /// How many processes of one tenant may run in the background.
    pub most: usize,
    /// How long a process is remembered after its end.
    pub keep: Duration,
    /// How many processes of one session are remembered after their end.
    pub keep_most: usize,
    /// Whether a person must approve each command.
    pub ask: bool,
    /// What a channel that cannot be reached later gets instead of the background: the foreground, or a refusal.
    pub inline: bool,
    /// How many watched lines are told within [`watch_window`](Self::watch_window); more are a flood, and only the end is told.
    pub watch_most: u32,
    /// See [`watch_most`](Self::watch_most).
    pub watch_window: Duration,
}

impl ProcessOptions {
    /// Commands in this folder, with this environment and not confined: a minute in the foreground, 16 KiB of output, 8
    /// in the background, five minutes for a wait, the last 32 of a session remembered for a day, each approved by a
    /// person, 5 watched lines a minute.
    #[must_use]
    pub fn new(folder: PathBuf, environment: Environment) -> Self {
        Self {
            environment,
            confinement: Confinement::Off,
            folder,
            shell: PathBuf::from("/bin/sh"),
            foreground: Duration::from_secs(60),
            wait: Duration::from_secs(300),
            tenants: None,
            output: 16 * 1024,
            most: 8,
            keep: Duration::from_secs(24 * 3600),
            keep_most: 32,
            ask: true,
            inline: false,
            watch_most: 5,
            watch_window: Duration::from_secs(60),
        }
    }
}

impl ProcessOptions {
    /// Returns true if this tenant may run commands.
    #[must_use]
    pub fn serves(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

/// The processes of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Processes {
    store: Store,
    sealer: Sealer,
    ledger: Ledger,
    presence: Presence,
    options: Arc<ProcessOptions>,
    roll: Roll,
}

impl Processes {
    pub(crate) fn new(
        store: Store,
        keys: KeyFile,
        ledger: Ledger,
        presence: Presence,
        options: ProcessOptions,
    ) -> Self {
        let sealer = Sealer::new(keys, "gateway.processes");
        Self { store, sealer, ledger, presence, options: Arc::new(options), roll: Roll::default() }
    }

    /// How commands run.
    #[must_use]
    pub fn options(&self) -> &ProcessOptions {
        &self.options
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}
