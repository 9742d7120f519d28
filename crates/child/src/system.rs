//! The system files that every child may read, and those that an interpreter needs besides.
//!
//! The lists are closed: what is not here is not readable. `/proc` has no entry for a process, and so tells a child of none;
//! `/dev/stdin` and its like lead through it to pipes, which Landlock does not restrict.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Programs and libraries.
pub(crate) const FOLDERS: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system/cpu"];

/// Single files and small folders: names of users and hosts, certificates, times, the linker's tables.
pub(crate) const FILES: &[&str] = &[
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/perl",
    "/etc/pki/tls/certs",
    "/etc/profile",
    "/etc/protocols",
    "/etc/python3",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/vm/overcommit_memory",
    "/proc/version",
];

/// Devices that hold nothing of anybody.
pub(crate) const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Returns the paths that a program needs besides the system's folders: its own file, the folder of a virtual environment, and the
/// prefix that its real path lies in. `search` is a search path for a name without a slash.
#[must_use]
pub fn interpreter(program: &OsStr, search: &str) -> Vec<PathBuf> {
    let named = Path::new(program);
    let found = match named.components().count() > 1 {
        true => named.is_file().then(|| named.to_owned()),
        false => search.split(':').map(|folder| Path::new(folder).join(named)).find(|path| path.is_file()),
    };
    let Some(found) = found else { return Vec::new() };
    let mut needed = Vec::new();
    let real = found.canonicalize().unwrap_or_else(|_| found.clone());
    for path in [&found, &real] {
        needed.push(path.clone());
        needed.extend(prefix(path));
    }
    needed.sort();
    needed.dedup();
    needed.retain(|path| !FOLDERS.iter().any(|folder| path.starts_with(folder)));
    needed
}

/// The prefix that an interpreter is installed in, if it looks like one: a folder of somebody's programs alone is none.
fn prefix(program: &Path) -> Option<PathBuf> {
    let prefix = program.parent()?.parent()?;
    let is_environment = prefix.join("pyvenv.cfg").is_file();
    let libraries = std::fs::read_dir(prefix.join("lib")).ok().into_iter().flatten().flatten();
    let mut names = libraries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_prefix = is_environment || names.any(|name| name.starts_with("python"));
    is_prefix.then(|| prefix.to_owned())
}
