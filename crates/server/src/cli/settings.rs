//! Where a command that works on the data folder itself finds its settings: the configuration file, overridden by an
//! option for the folder. Commands flatten [`Settings`] into their arguments.

use std::path::PathBuf;

use crate::config::{Config, Loaded};
use crate::problem::Fault;

/// Options that find the configuration and the data folder.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    /// Configuration file; without it `haversack.toml` in this folder, when there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder, instead of the one in the configuration.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Settings {
    /// Reads the configuration and applies the options.
    ///
    /// # Errors
    /// [`crate::code::Code::ConfigInvalid`] with the place of the mistake.
    pub fn load(&self) -> Result<Loaded, Fault> {
        let mut loaded = Config::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            loaded.config.store.path.clone_from(data);
        }
        Ok(loaded)
    }
}
