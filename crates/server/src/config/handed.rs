//! The environment of this process, most of which the process itself does not have.
//!
//! `/proc/PID/environ` shows a process's first environment as long as it lives, even if it unsets a variable. So a command
//! that serves others starts itself again: harmless variables go along, and all of them go over in a file in memory, which is emptied
//! when it has been read. The process keeps its id, its standard streams and its arguments. Only `config` reads what was handed over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::OnceLock;

/// The variables that were handed over, if any.
static HANDED: OnceLock<BTreeMap<OsString, OsString>> = OnceLock::new();

/// Every variable that this process was started with, by its operator.
pub(super) fn variables() -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<_, _> = std::env::vars_os().collect();
    all.extend(HANDED.get().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// One of them.
pub(super) fn variable(name: &str) -> Option<OsString> {
    let handed = HANDED.get().and_then(|handed| handed.get(OsString::from(name).as_os_str()));
    handed.cloned().or_else(|| std::env::var_os(name))
}

/// Leaves the environment behind: takes what an earlier start of this process handed over, or else hands it over and starts the
/// program again. Returns when the environment holds nothing that could be secret.
///
/// # Errors
/// When the file cannot be made or read, or the program cannot be started again.
pub fn leave() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    linux::leave()?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io::{self, Read, Seek, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::{FdFlags, fcntl_setfd};

    use super::HANDED;

    /// The variable that says which descriptor the file is.
    const MARK: &str = "HAVERSACK_HANDED";
    /// The file's name, by which it is told from another file under the same number.
    const NAME: &str = "haversack-environment";

    /// The names of harmless variables, which the system and libraries read from the real environment.
    const HARMLESS: &[&str] = &[
        "COLUMNS",
        "COLORTERM",
        "HAVERSACK_CONFIG",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LINES",
        "LLVM_PROFILE_FILE",
        "LOGNAME",
        "NO_COLOR",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "USERNAME",
    ];
    const HARMLESS_BEGINNINGS: &[&str] = &["LC_", "RUST_", "XDG_"];

    pub(super) fn leave() -> io::Result<()> {
        if let Some(handed) = received()? {
            HANDED.get_or_init(|| handed);
        }
        let all: BTreeMap<OsString, OsString> =
            super::variables().into_iter().filter(|(name, _)| name != MARK).collect();
        if std::env::vars_os().all(|(name, _)| name == MARK || is_harmless(&name)) {
            return Ok(());
        }
        let mut file = File::from(memfd_create(NAME, MemfdFlags::empty())?);
        for (name, value) in &all {
            file.write_all(&[name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat())?;
        }
        file.rewind()?;
        fcntl_setfd(&file, FdFlags::empty())?;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| OsString::from("haversack"));
        // The path as it is called, for its name among the processes; the program itself where that has been replaced.
        let program = std::env::current_exe().ok().filter(|path| path.exists());
        let mut again = Command::new(program.unwrap_or_else(|| "/proc/self/exe".into()));
        again.arg0(name).args(arguments).env_clear();
        again.envs(all.into_iter().filter(|(name, _)| is_harmless(name)));
        again.env(MARK, file.as_raw_fd().to_string());
        Err(again.exec())
    }

    /// Reads the file, if there is one, and empties it: its descriptor stays open and would show the content.
    fn received() -> io::Result<Option<BTreeMap<OsString, OsString>>> {
        let Some(number) = std::env::var(MARK).ok().and_then(|number| number.parse::<u32>().ok()) else {
            return Ok(None);
        };
        let path = format!("/proc/self/fd/{number}");
        let is_ours = std::fs::read_link(&path).is_ok_and(|target| {
            target.as_os_str().as_bytes().starts_with(format!("/memfd:{NAME}").as_bytes())
        });
        if !is_ours {
            return Ok(None);
        }
        let mut file = File::options().read(true).write(true).open(&path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        file.set_len(0)?;
        let pairs = text.split(|byte| *byte == 0).filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            Some((OsString::from_vec(pair[..at].to_vec()), OsString::from_vec(pair[at + 1..].to_vec())))
        });
        Ok(Some(pairs.collect()))
    }

    fn is_harmless(name: &OsStr) -> bool {
        let name = name.to_string_lossy();
        HARMLESS.contains(&&*name) || HARMLESS_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
    }
}
