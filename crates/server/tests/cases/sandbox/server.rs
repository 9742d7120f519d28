//! The server's own secrets, and the settings with which it refuses to start.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Installation, SECRET, Server, serve, settings};

/// A user of the system that is not root, whose processes a case starts: root's may read everything.
pub(super) struct Somebody {
    id: Option<u32>,
}

impl Somebody {
    /// Whoever runs the cases, or a number that nobody has when that is root.
    fn who_runs() -> Self {
        let is_root = std::fs::metadata("/proc/self/environ").unwrap().uid() == 0;
        Self { id: is_root.then_some(54_321) }
    }

    /// The number that nobody has; none when the cases do not run as root, who alone can become it.
    pub(super) fn else_than_root() -> Option<Self> {
        Some(Self::who_runs()).filter(|somebody| somebody.id.is_some())
    }

    /// A server of an installation, as this user.
    pub(super) fn serve(&self, installation: &Installation) -> Server {
        let Some(id) = self.id else { return serve(installation) };
        // The build's folder may be root's own.
        let program = installation.path().join("haversack");
        std::fs::copy(installation.command(&[]).get_program(), &program).unwrap();
        give(installation.path(), id);
        installation.serve_with(|command| {
            let mut other = Command::new(&program);
            other.args(command.get_args()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
            other.env("CONTOSO_TOKEN", SECRET).current_dir(installation.path()).uid(id).gid(id);
            *command = other;
        })
    }

    /// Returns true if a process of this user can read a file.
    fn reads(&self, path: &Path) -> bool {
        let mut head = Command::new("head");
        head.args(["-c", "1"]).arg(path);
        if let Some(id) = self.id {
            head.uid(id).gid(id);
        }
        head.output().unwrap().status.success()
    }
}

fn give(path: &Path, id: u32) {
    chown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), id));
    }
}

fn of(server: &Server, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", server.process.id()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_has_no_secret_in_its_environment_and_writes_no_core() {
    let installation = Installation::new(&settings("", None));
    let server = serve(&installation);
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(of(&server, name)).unwrap()).into_owned();
    let environment = read("environ");
    assert!(environment.contains("PATH=") && !environment.contains("canary"), "{environment}");
    let limits = read("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    // What was handed over is in no file in memory either.
    for descriptor in std::fs::read_dir(of(&server, "fd")).unwrap().flatten() {
        let is_memory =
            std::fs::read_link(descriptor.path()).is_ok_and(|to| to.to_string_lossy().contains("memfd"));
        if is_memory {
            assert_eq!(std::fs::read(descriptor.path()).unwrap(), b"");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_of_the_servers_user_reads_neither_its_environment_nor_its_memory() {
    let (somebody, installation) = (Somebody::who_runs(), Installation::new(&settings("", None)));
    let server = somebody.serve(&installation);
    assert!(somebody.reads(&of(&server, "stat")), "the process is visible");
    for name in ["environ", "mem", "maps", "fd/0"] {
        assert!(!somebody.reads(&of(&server, name)), "{name}");
    }
}

#[test]
fn a_grant_that_holds_the_data_folder_is_refused_at_start() {
    for grant in [".", "data", "data/tenants", "data.keys", "commands/x"] {
        for access in ["read", "write"] {
            let more = format!("[sandbox]\n{access} = [\"{grant}\"]");
            let installation = Installation::new(&settings(&more, None));
            let mut command = installation.command(&["serve", "--bind", "127.0.0.1:0"]);
            let ended = command.env("CONTOSO_TOKEN", SECRET).output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(
                ended.status.code() == Some(2) && said.contains("HV0112"),
                "{grant}: {:?} {said}",
                ended.status
            );
        }
    }
}

#[test]
fn a_grant_by_a_link_that_leads_to_the_data_folder_is_refused_at_start() {
    let installation = Installation::new(&settings("[sandbox]\nread = [\"./link\"]", None));
    std::os::unix::fs::symlink(".", installation.path().join("link")).unwrap();
    let mut command = installation.command(&["serve", "--bind", "127.0.0.1:0"]);
    let ended = command.env("CONTOSO_TOKEN", SECRET).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("HV0112"), "{ended:?}");
}

#[test]
fn the_doctor_says_how_children_are_confined() {
    let checked = |toml: &str| {
        let said = String::from_utf8(Installation::new(toml).run(&["--json", "doctor"]).stdout).unwrap();
        let check = said.lines().find(|line| line.contains("\"sandbox\"")).map(str::to_owned);
        check.unwrap_or_else(|| panic!("{said}"))
    };
    assert!(checked("").contains("Landlock"), "{}", checked(""));
    let off = "sandbox = \"off\"\n";
    assert!(checked(off).contains("off: a child may do what the server may"), "{}", checked(off));
}
