//! Command lines: `/bin/sh -c` in a work folder of its own.
//!
//! Parameters and secrets stand in the environment under their own names, all parameters also in the file that
//! `HAVERSACK_PARAMETERS` names. Results go back as a JSON object in the file that `HAVERSACK_RETURNS` names; nothing is
//! read from the child's environment or output.

use super::attempt::Prepared;
use super::{StepFailure, StepOutput, child};

/// Waits at the gate, see [`child::run`], and becomes the command. No parameter has a name like that of the variable.
const GATE: &str = r#"read -r HAVERSACK_GATE && exec "$@" </dev/null"#;

pub(super) async fn run(prepared: &Prepared<'_>) -> Result<StepOutput, StepFailure> {
    let shell = match prepared.task.overrides.get("shell").map(|shell| shell.as_str()) {
        None | Some(Some("sh")) => "/bin/sh",
        Some(Some("bash")) => "/bin/bash",
        Some(_) => return Err(StepFailure::new("the setting `shell` is `sh` or `bash`")),
    };
    let mut command = prepared.command("/bin/sh")?;
    command.args(["-c", GATE, "gate", shell, "-c"]).arg(&prepared.task.command);
    prepared.install(&mut command, true)?;
    child::run(command, &prepared.folder.process(), &prepared.log).await?;
    prepared.returned().await
}
