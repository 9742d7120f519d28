//! The launcher: the program's own binary, started with [`ARGUMENT`], which restricts itself and becomes the command.
//!
//! A binary whose children are confined calls [`run`] before it does anything else: it returns when the process is no launcher. The
//! policy is an argument, so that the command finds nothing of it in its environment; `exec` replaces the arguments too.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::confinement::{Access, Limits, Policy};
use crate::harden;

/// The first argument of a launcher.
pub const ARGUMENT: &str = "__launch";

/// How a launcher ends that could not become its command, as shells say it.
const FAILED: u8 = 126;

/// Becomes the command if `arguments`, those of the process, say that it is a launcher. The exit code when that failed;
/// nothing when the process is no launcher.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let _program = arguments.next();
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let error = launch(arguments);
    // Whoever reads the output of the command learns why there is none.
    #[allow(clippy::print_stderr, reason = "the launcher is the command's process and has no other writer")]
    {
        eprintln!("the command was not started: {error}");
    }
    Some(ExitCode::from(FAILED))
}

/// Why a launcher did not become its command.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("the launcher was given no policy and no command")]
    Arguments,
    #[error("the kernel has no Landlock that confines it")]
    NotConfined,
    #[cfg(target_os = "linux")]
    #[error("its restrictions cannot be set: {0}")]
    Ruleset(#[from] landlock::RulesetError),
    #[error("its limits cannot be set: {0}")]
    Limits(std::io::Error),
    #[error("{}: {error}", program.display())]
    Exec { program: OsString, error: std::io::Error },
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> LaunchError {
    let (Some(policy), Some(program)) = (arguments.next(), arguments.next()) else {
        return LaunchError::Arguments;
    };
    let Some(policy) = policy.to_str().and_then(|text| serde_json::from_str::<Policy>(text).ok()) else {
        return LaunchError::Arguments;
    };
    if let Err(error) = limit(&policy.limits) {
        return LaunchError::Limits(error);
    }
    if let Err(error) = restrict(&policy) {
        return error;
    }
    harden::keep_descriptors();
    let error = Command::new(&program).args(arguments).exec();
    LaunchError::Exec { program, error }
}

fn limit(limits: &Limits) -> std::io::Result<()> {
    harden::no_core()?;
    let limits = [
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Fsize, limits.file_bytes),
        (Resource::As, limits.memory_bytes),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Nproc, limits.processes),
    ];
    for (resource, most) in limits {
        let Some(most) = most else { continue };
        // Nobody may raise what the process itself was given.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |given| given.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn restrict(policy: &Policy) -> Result<(), LaunchError> {
    if policy.required { Err(LaunchError::NotConfined) } else { Ok(()) }
}

#[cfg(target_os = "linux")]
fn restrict(policy: &Policy) -> Result<(), LaunchError> {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
        PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    };

    use crate::confinement::Tcp;
    use crate::system;

    const NEWEST: ABI = ABI::V7;
    if policy.required && !crate::level().confines() {
        return Err(LaunchError::NotConfined);
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if let Tcp::Ports(_) = policy.tcp {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut rules = rules.create()?.no_new_privs(true);
    let (read, all) = (AccessFs::from_read(NEWEST), AccessFs::from_all(NEWEST));
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let Access { read: readable, write: writable } = &policy.access;
    let of = |paths: &[&str], access: BitFlags<AccessFs>| {
        paths.iter().map(|path| (std::path::PathBuf::from(path), access)).collect::<Vec<_>>()
    };
    let granted = of(system::FOLDERS, read)
        .into_iter()
        .chain(of(system::FILES, AccessFs::ReadFile | AccessFs::ReadDir))
        .chain(of(system::DEVICES, device))
        .chain(readable.iter().map(|path| (path.clone(), read)))
        .chain(writable.iter().map(|path| (path.clone(), all)));
    for (path, access) in granted {
        // What does not exist needs no grant.
        let Ok(opened) = PathFd::new(&path) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    if let Tcp::Ports(ports) = &policy.tcp {
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    let done = rules.restrict_self()?;
    if policy.required && done.ruleset == RulesetStatus::NotEnforced {
        return Err(LaunchError::NotConfined);
    }
    Ok(())
}
