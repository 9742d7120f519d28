//! The oldest compiler that the library promises to build with, `rust-version` of its manifest, and the targets that come
//! with it. One that rustup has is taken; else Debian's packages are, where there is apt: they are unpacked into the target
//! folder, never installed, and run beside the C library they were built for. Where neither can be had, that is said.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Library, PACKAGE};
use crate::steps::Steps;
use crate::workspace::{cargo, root};

/// Built for these too: 32 bits, and the web. Only the core, for the features bring other people's demands.
const TARGETS: &[&str] = &["wasm32-unknown-unknown", "i686-unknown-linux-gnu"];

/// The release of Debian whose `rustc` is of that version, and what of it the compiler needs to run.
const SUITE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "rustc",
    "libstd-rust-1.85",
    "libstd-rust-dev",
    "libstd-rust-dev:i386",
    "libstd-rust-dev-wasm32",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libllvm19",
    "libz3-4",
    "libxml2",
    "libedit2",
    "libbsd0",
    "libmd0",
    "libtinfo6",
    "libffi8",
    "liblzma5",
    "libzstd1",
    "zlib1g",
];

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    let version =
        library.package.rust_version.as_deref().context("the library's manifest has no `rust-version`")?;
    let Some(compiler) = installed(version).or_else(|| of_debian(&library.folder, version)) else {
        println!(
            "\n== rust {version}: NOT CHECKED, neither rustup nor apt has it; `rustup toolchain install {version}` and \
             `rustup target add --toolchain {version} {}` bring it",
            TARGETS.join(" ")
        );
        return Ok(());
    };
    let all = library.features();
    steps.run(&format!("rust {version}, core"), build(library, &compiler, "check", &[]).arg("--locked"))?;
    steps.run(
        &format!("rust {version}, all features"),
        build(library, &compiler, "check", &all).arg("--locked"),
    )?;
    for target in TARGETS {
        if !has(&compiler, target)? {
            println!("\n== {target}: NOT CHECKED, rust {version} is there without it");
            continue;
        }
        // Built and not only checked: what a constant asserts about sizes is evaluated by code generation.
        let mut build = build(library, &compiler, "build", &[]);
        steps.run(&format!("rust {version}, {target}"), build.args(["--target", target]))?;
    }
    Ok(())
}

/// In a folder of its own, and as a user's cargo would: an old compiler warns of lints that it does not know.
fn build(library: &Library, compiler: &Path, command: &str, features: &[&str]) -> Command {
    let mut cargo = Command::new(cargo());
    cargo
        .current_dir(root())
        .args([command, "--quiet", "--package", PACKAGE, "--lib", "--no-default-features"])
        .args(["--features", &features.join(",")])
        .arg("--target-dir")
        .arg(library.folder.join("oldest"))
        .env("RUSTC", compiler);
    cargo
}

/// The compiler of that version, where rustup has it.
fn installed(version: &str) -> Option<PathBuf> {
    let found = Command::new("rustup").args(["which", "rustc", "--toolchain", version]).output().ok()?;
    found.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()))
}

/// The compiler out of Debian's packages. What went wrong is printed: without it the check is not made, and that is said.
fn of_debian(folder: &Path, version: &str) -> Option<PathBuf> {
    let found = debian(&folder.join("debian"), version);
    if let Err(error) = &found {
        println!("\n== rust {version} of Debian {SUITE}: {error:#}");
    }
    found.ok()
}

fn debian(folder: &Path, version: &str) -> Result<PathBuf> {
    let (compiler, tree) = (folder.join("rustc"), folder.join("root"));
    if says(&compiler, version) {
        return Ok(compiler);
    }
    // What an interrupted run left; there may be nothing.
    let _ = fs::remove_dir_all(folder);
    for made in ["lists/partial", "archives/partial", "sources", "packages", "root"] {
        fs::create_dir_all(folder.join(made))?;
    }
    fs::write(folder.join("status"), "")?;
    fs::write(
        folder.join("sources").join("suite.sources"),
        format!(
            "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: {SUITE}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        ),
    )?;
    println!("\n== rust {version}: from the packages of Debian {SUITE}");
    done(apt(folder).arg("update"))?;
    done(apt(folder).current_dir(folder.join("packages")).arg("download").args(PACKAGES))?;
    for package in fs::read_dir(folder.join("packages"))? {
        done(Command::new("dpkg-deb").arg("--extract").arg(package?.path()).arg(&tree))?;
    }
    let usr = tree.join("usr");
    let script = format!(
        "#!/bin/sh\nexec {0}/lib64/ld-linux-x86-64.so.2 --library-path {0}/lib/x86_64-linux-gnu {0}/bin/rustc --sysroot {0} \"$@\"\n",
        usr.display()
    );
    fs::write(&compiler, script)?;
    fs::set_permissions(&compiler, Permissions::from_mode(0o755))?;
    ensure!(says(&compiler, version), "its rustc is not of version {version}, or does not run here");
    fs::remove_dir_all(folder.join("packages"))?;
    Ok(compiler)
}

/// apt with lists, archives and sources of its own, so that nothing of the machine's changes.
fn apt(folder: &Path) -> Command {
    let mut apt = Command::new("apt-get");
    let mut set = |name: &str, value: &Path| {
        apt.arg("-o").arg(format!("{name}={}", value.display()));
    };
    set("Dir::Etc::SourceList", Path::new("/dev/null"));
    set("Dir::Etc::SourceParts", &folder.join("sources"));
    set("Dir::State::Lists", &folder.join("lists"));
    set("Dir::State::status", &folder.join("status"));
    set("Dir::Cache::Archives", &folder.join("archives"));
    set("Dir::Cache::pkgcache", Path::new(""));
    set("Dir::Cache::srcpkgcache", Path::new(""));
    set("APT::Architectures::", Path::new("amd64"));
    set("APT::Architectures::", Path::new("i386"));
    set("APT::Sandbox::User", Path::new("root"));
    apt.arg("-qq");
    apt
}

/// Runs it, and fails with its last words.
fn done(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", words.lines().last().unwrap_or("it says nothing"));
    Ok(())
}

fn says(compiler: &Path, version: &str) -> bool {
    let Ok(output) = Command::new(compiler).arg("--version").output() else { return false };
    String::from_utf8_lossy(&output.stdout).starts_with(&format!("rustc {version}"))
}

/// Whether the compiler has the target's standard library.
fn has(compiler: &Path, target: &str) -> Result<bool> {
    let output = Command::new(compiler)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .with_context(|| format!("cannot start {}", compiler.display()))?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(Path::new(String::from_utf8(output.stdout)?.trim()).is_dir())
}
