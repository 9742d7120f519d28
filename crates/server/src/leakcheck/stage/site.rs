//! The site: a temporary folder with a configuration file, a data folder and a folder of logs, and the keys of two
//! people a tenant. It is removed when it is dropped. The stage makes it before anything runs, the searches read it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use super::settings;
use crate::auth::KeyRole;
use crate::auth::admin::{self, Grant};
use crate::config::FILE;
use crate::leakcheck::Options;
use crate::leakcheck::world::{World, tenant_name};

/// The people of each tenant. They have the same names everywhere, so that a name alone opens nothing.
pub(super) const NAMES: [&str; 2] = ["kim", "lee"];

/// An installation on the disk.
pub(in crate::leakcheck) struct Site {
    folder: TempDir,
    program: PathBuf,
    /// For each tenant a key for each of [`NAMES`].
    keys: Vec<[String; 2]>,
    environment: Vec<(String, String)>,
}

impl Site {
    /// Makes folder, configuration and keys. Answers of the gateway go to `inbox`, when there is one.
    pub(super) async fn make(world: &World, options: &Options, inbox: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("haversack-leakcheck-")
            .tempdir()
            .context("no temporary folder can be made for the installation")?;
        let environment = settings::environment(world);
        let mut site = Self { folder, program: options.program.clone(), keys: Vec::new(), environment };
        std::fs::create_dir(site.logs())?;
        site.write_pipelines()?;
        site.write_handbooks(world)?;
        let config =
            toml::to_string(&site.settings(world, inbox)).context("the configuration cannot be written")?;
        std::fs::write(site.config(), config)?;
        site.issue(world).await?;
        Ok(site)
    }

    async fn issue(&mut self, world: &World) -> anyhow::Result<()> {
        let control = crate::cli::keys::control(&self.data()).await?;
        for tenant in 0..world.tenants() {
            let mut keys = [String::new(), String::new()];
            for (key, principal) in keys.iter_mut().zip(NAMES) {
                let grant = Grant {
                    tenant: tenant_name(tenant),
                    principal: principal.to_owned(),
                    label: String::new(),
                    expires_at: None,
                    role: KeyRole::Member,
                };
                *key = admin::issue(&control, grant, "leakcheck").await?.key.reveal();
            }
            self.keys.push(keys);
        }
        Ok(())
    }

    /// The whole folder.
    pub(in crate::leakcheck) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub(in crate::leakcheck) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The key ring that seals what leaves a process.
    pub(in crate::leakcheck) fn ring(&self) -> PathBuf {
        self.folder().join("data.keys")
    }

    /// Where each process writes its log.
    pub(in crate::leakcheck) fn logs(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// The key of each of [`NAMES`], by tenant.
    pub(in crate::leakcheck) fn keys(&self) -> &[[String; 2]] {
        &self.keys
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder().join(FILE)
    }

    /// What the processes have in their environment.
    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Leaves the folder where it is, and says where.
    pub(in crate::leakcheck) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}
