//! The settings of the installation under check: the product's own defaults, with limits out of the way and everything
//! that a hop takes its way through. Every tenant has the same: an account on the same platform, a secret of the same name,
//! the same pipelines and crews. What is secret is in the environment of the processes, as an operator would give it.

use std::collections::BTreeMap;

use super::Site;
use super::site::NAMES;
use crate::config::{Account, Config, LogFormat, PipelineTool, SecretRef};
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::world::{World, tenant_name};

/// The secret that steps ask for, by its one name in every tenant.
pub(in crate::leakcheck) const TOKEN: &str = "WARD_TOKEN";

/// The header in which everybody sends a token, which jobs take along.
pub(in crate::leakcheck) const CARRIED: &str = "x-ward-token";

/// The pipeline with children, and the one that agents start in the background. A round is in one tenant what it is in the next.
pub(in crate::leakcheck) const ROUND: &str = "round";
pub(in crate::leakcheck) const BELL: &str = "bell";

/// Whoever writes on the platform, in every tenant.
pub(in crate::leakcheck) const SENDER: &str = "u-1";

/// Jobs that the worker does at a time: many, so that those of different tenants are at work together.
const AT_ONCE: usize = 24;

/// What each step sees goes into files and into what it prints. The content is not handed over but made of the parameter, so
/// that it is nowhere but in the run's own folder.
const ROUND_YAML: &str = r#"
dag:
  start_at: write
  steps:
    write:
      type: task
      command_type: shell
      secrets: [WARD_TOKEN]
      parameters: [word]
      command: |
        env | grep -v '^WARD_TOKEN=' > write.env
        env
        printf 'ca%s' "${word#pa}" > note.txt
        printf '%s' "$WARD_TOKEN" | sha256sum | cut -c1-64 > token.txt
      catalog: {put: ["write.env", "note.txt", "token.txt"]}
      next: read
    read:
      type: task
      command_type: python
      secrets: [WARD_TOKEN]
      command: |
        import os
        with open("note.txt") as file:
            note = file.read()
        with open("read.env", "w") as file:
            for name, value in os.environ.items():
                if name != "WARD_TOKEN":
                    file.write(f"{name}={value}\n")
        print(note)
        returns["same"] = "yes" if note == "ca" + parameters["word"][2:] else "no"
        returns["files"] = ",".join(sorted(os.listdir(".")))
      catalog: {get: ["note.txt"], put: ["read.env"]}
      returns: [same, files]
      next: success
    success: {type: success}
    fail: {type: fail}
"#;

const BELL_YAML: &str = "
dag:
  start_at: ring
  steps:
    ring: {type: stub, next: success}
    success: {type: success}
    fail: {type: fail}
";

impl Site {
    /// The configuration. Answers of the gateway go to `inbox`, when there is one.
    pub(super) fn settings(&self, world: &World, inbox: Option<&str>) -> Config {
        let mut config = Config::default();
        config.server.bind = ([127, 0, 0, 1], 0).into();
        config.server.demo_keys = Some(false);
        config.store.path = self.data();
        config.limits.requests_per_second = 1_000_000;
        config.limits.burst = 1_000_000;
        config.limits.concurrent_turns = 100_000;
        config.limits.event_streams = 100_000;
        config.limits.session_queue = 64;
        config.telemetry.log = LogFormat::Json;
        config.telemetry.filter = "debug".to_owned();
        // The trees of the last step are looked at, and one step is a turn in each conversation.
        config.telemetry.ring_turns = 1_000 + 2 * world.cells().count();
        config.jobs.embedded_worker = false;
        config.jobs.concurrency = AT_ONCE;
        config.jobs.headers = vec![CARRIED.to_owned()];
        config.jobs.tools = ["remember", "recall", "search_knowledge"].map(str::to_owned).to_vec();
        config.agent.tools.knowledge = Some(self.knowledge());
        config.pipelines.folder = Some(self.pipelines());
        config.pipelines.secrets = (0..world.tenants()).map(secrets).collect();
        config.pipelines.tools = vec![PipelineTool {
            name: BELL.to_owned(),
            pipeline: BELL.to_owned(),
            description: "Rings the bell of the ward.".to_owned(),
        }];
        for specialist in &mut config.agent.specialists {
            specialist.tools.push(BELL.to_owned());
        }
        // The tasks of crews work on threads of their own where they can.
        for crew in &mut config.agent.crews {
            crew.tasks.iter_mut().filter(|task| task.tool.is_some()).for_each(|task| task.blocking = true);
        }
        if let Some(inbox) = inbox {
            config.gateway.accounts = (0..world.tenants()).map(|tenant| account(tenant, inbox)).collect();
        }
        config
    }

    /// Writes the pipelines.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn write_pipelines(&self) -> anyhow::Result<()> {
        std::fs::create_dir(self.pipelines())?;
        for (name, text) in [(ROUND, ROUND_YAML), (BELL, BELL_YAML)] {
            std::fs::write(self.pipelines().join(name).with_extension("yaml"), text)?;
        }
        Ok(())
    }

    /// Writes a handbook for each tenant, which says of each ward what another tenant's says otherwise.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_handbooks(&self, world: &World) -> anyhow::Result<()> {
        for tenant in 0..world.tenants() {
            let folder = self.knowledge().join(tenant_name(tenant));
            std::fs::create_dir_all(&folder)?;
            let section = |cell: Cell| {
                let code = world.word(cell, Kind::Handbook);
                format!("## Door of ward {0}\n\nThe door code of ward {0} is {code}.\n\n", cell.session)
            };
            let text: String = world.cells().filter(|cell| cell.tenant == tenant).map(section).collect();
            std::fs::write(folder.join("doors.md"), format!("# Doors\n\n{text}"))?;
        }
        Ok(())
    }

    fn knowledge(&self) -> std::path::PathBuf {
        self.folder().join("knowledge")
    }

    fn pipelines(&self) -> std::path::PathBuf {
        self.folder().join("pipelines")
    }
}

/// The environment of every process of the product: the secrets of all tenants.
pub(super) fn environment(world: &World) -> Vec<(String, String)> {
    let of = |tenant| [(ward(tenant), token(world, tenant)), (desk(tenant), signing(world, tenant))];
    (0..world.tenants()).flat_map(of).collect()
}

/// The value of [`TOKEN`] in a tenant.
pub(in crate::leakcheck) fn token(world: &World, tenant: usize) -> String {
    format!("ward-{}", world.word(Cell { tenant, session: 0 }, Kind::Secret))
}

/// What messages of a tenant's platform are signed with.
pub(in crate::leakcheck) fn signing(world: &World, tenant: usize) -> String {
    format!("desk-{}", world.word(Cell { tenant, session: 0 }, Kind::Secret))
}

/// The account of a tenant. The names are one apart, because addresses are.
pub(in crate::leakcheck) fn account_name(tenant: usize) -> String {
    format!("desk-{tenant:03}")
}

fn ward(tenant: usize) -> String {
    format!("LEAKCHECK_WARD_{tenant:03}")
}

fn desk(tenant: usize) -> String {
    format!("LEAKCHECK_DESK_{tenant:03}")
}

fn secrets(tenant: usize) -> (String, BTreeMap<String, SecretRef>) {
    (tenant_name(tenant), BTreeMap::from([(TOKEN.to_owned(), SecretRef::Env(ward(tenant)))]))
}

fn account(tenant: usize, inbox: &str) -> Account {
    Account {
        name: account_name(tenant),
        platform: "webhook".to_owned(),
        tenant: tenant_name(tenant),
        users: BTreeMap::from([(SENDER.to_owned(), NAMES[0].to_owned())]),
        unknown: Default::default(),
        sessions: Default::default(),
        busy: Default::default(),
        profile: String::new(),
        cross_post: Vec::new(),
        secrets: vec![SecretRef::Env(desk(tenant))],
        callbacks: vec![inbox.to_owned()],
        traced: Vec::new(),
        window_s: 300,
        max_chars: 4_000,
    }
}
