//! The section `[sandbox]`: what children of this program may use besides the system and what is their own.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::sections::{ranged, some_ranged};

/// `[sandbox]`: what commands, steps of pipelines and their children may do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Confinement of children: on or off.
    pub mode: SandboxMode,
    /// Folders and files that every child may read, with all that is in them. One that holds the data folder, the key file,
    /// a secret's file or the folder of commands is refused.
    pub read: Vec<PathBuf>,
    /// Those that every child may change, too.
    pub write: Vec<PathBuf>,
    /// TCP ports to which commands of `[gateway.commands]` may connect. Steps of pipelines may connect to any.
    pub command_ports: Vec<u16>,
    /// Open files of one process.
    #[serde(deserialize_with = "ranged::<_, _, 16, 1_000_000>")]
    #[schemars(range(min = 16, max = 1_000_000))]
    pub open_files: u64,
    /// Mebibytes of one file. Unset: 4096 for commands, and as the system says for steps.
    #[serde(deserialize_with = "some_ranged::<_, _, 1, 1_000_000>", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub file_mb: Option<u64>,
    /// Mebibytes of address space of one process. Unset: 4096 for commands, and as the system says for steps.
    #[serde(
        deserialize_with = "some_ranged::<_, _, 16, 1_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 16, max = 1_000_000))]
    pub memory_mb: Option<u64>,
    /// Seconds of processor time of one process. Unset: as the system says.
    #[serde(deserialize_with = "some_ranged::<_, _, 1, 1_000_000>", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub cpu_s: Option<u64>,
    /// Processes and threads of the server's user, which no child adds to when there are so many; those of the server and of
    /// everything else of that user count too. Unset: 4096 for commands, and as the system says for steps. The system does
    /// not hold root to it.
    #[serde(
        deserialize_with = "some_ranged::<_, _, 16, 1_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 16, max = 1_000_000))]
    pub processes: Option<u64>,
    /// The binary that starts children confined. The command line says itself; without one nothing is confined, as for a
    /// program that embeds the server and has no launcher.
    #[serde(skip)]
    pub launcher: Option<PathBuf>,
}

/// Confinement of children: on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SandboxMode {
    /// With what the kernel has. Commands of `[gateway.commands]` are refused where it has no Landlock.
    On,
    /// Not at all: a child may do what the server may.
    Off,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            mode: SandboxMode::On,
            read: Vec::new(),
            write: Vec::new(),
            command_ports: Vec::new(),
            open_files: 1024,
            file_mb: None,
            memory_mb: None,
            cpu_s: None,
            processes: None,
            launcher: None,
        }
    }
}

/// How the section is written: `sandbox = "off"`, or a table.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used; a table that does not fit says where and why")]
pub(super) enum Written {
    Mode(SandboxMode),
    Table(Box<Sandbox>),
}

/// Reads the section as it may be written.
///
/// # Errors
/// When it is neither a mode nor a table that fits.
pub(super) fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sandbox, D::Error> {
    struct Section;

    impl<'de> Visitor<'de> for Section {
        type Value = Sandbox;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`on`, `off` or a table")
        }

        fn visit_str<E: serde::de::Error>(self, mode: &str) -> Result<Sandbox, E> {
            let mode = SandboxMode::deserialize(mode.into_deserializer())?;
            Ok(Sandbox { mode, ..Sandbox::default() })
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Sandbox, A::Error> {
            Sandbox::deserialize(MapAccessDeserializer::new(table))
        }
    }

    deserializer.deserialize_any(Section)
}
