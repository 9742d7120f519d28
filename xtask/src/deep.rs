//! `cargo xtask test --deep`: what needs the tree built again in another way. The library's tests run under
//! AddressSanitizer, which also finds leaked reference counts, and then once more with a fault planted in the one file that uses `unsafe`, which the
//! sanitizer must find: a check that cannot go red proves nothing. Builds go to their own folder inside the
//! target folder.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::{Captured, Steps};
use crate::workspace::{Metadata, cargo, root};

/// The library is the only package with `unsafe`.
const PACKAGE: &str = "haversack";
/// Test targets that reach no `unsafe` code the others do not, and whose dependencies are most of the tree; the
/// library's manifest leaves those dependencies out of a sanitized build.
const LEFT_OUT: &[&str] = &["compile_fail", "http"];
/// What the leak check is told to pass over.
const LEAKS_ON_PURPOSE: &str = "xtask/leaks_on_purpose.txt";
/// Plants the fault in the library alone, so that the dependencies are not built again.
const PLANTED: &[&str] = &[
    "-Zprofile-rustflags",
    "--config",
    "profile.dev.package.haversack.rustflags=[\"--cfg\",\"haversack_planted_fault\"]",
];
/// What the sanitizer calls the planted fault.
const FINDING: &str = "AddressSanitizer: heap-use-after-free";

/// Runs the sanitizer steps.
pub fn run(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    let host = host()?;
    ensure!(
        has_sanitizer_runtime(&host)?,
        "this toolchain has no AddressSanitizer runtime for {host}; run it on x86_64-unknown-linux-gnu"
    );
    steps.run("address sanitizer", &mut sanitized(metadata, &host, &[]))?;

    let name = "address sanitizer, planted fault";
    let (captured, started) = steps.capture(name, &mut sanitized(metadata, &host, PLANTED))?;
    steps.judge(name, started, verdict(&captured))
}

/// Red unless the tests failed, and failed because the sanitizer saw the fault.
fn verdict(captured: &Captured) -> Result<(), String> {
    if captured.text.contains(FINDING) && !captured.success {
        return Ok(());
    }
    let lines: Vec<&str> = captured.text.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(format!("the planted fault was not found: the output does not hold `{FINDING}`. Its end:\n{tail}"))
}

/// The library's tests under the sanitizer. `options` come before cargo's own command.
fn sanitized(metadata: &Metadata, host: &str, options: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(options)
        .args(["test", "--package", PACKAGE, "--no-fail-fast"])
        .args(["--target", host, "--target-dir", "target/deep"])
        .args(["--features", &features(metadata), "--lib"]);
    for (package, target) in metadata.targets("test") {
        // A target of the mutants build needs a feature that this build does not have.
        let mutants = target.required_features.iter().any(|feature| feature == "mutants");
        if package.name == PACKAGE && !mutants && !LEFT_OUT.contains(&target.name.as_str()) {
            command.args(["--test", &target.name]);
        }
    }
    let leaks = root().join(LEAKS_ON_PURPOSE);
    // The sanitizer's switch and flags for one package are not stable; the sanitizer's runtime ships with the
    // stable toolchain.
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env("LSAN_OPTIONS", format!("print_suppressions=0:suppressions={}", leaks.display()))
        .env("CARGO_INCREMENTAL", "0");
    command
}

fn features(metadata: &Metadata) -> String {
    let own = format!("{PACKAGE}/");
    let features = metadata.features();
    features.split(',').filter(|feature| feature.starts_with(&own)).collect::<Vec<_>>().join(",")
}

fn host() -> Result<String> {
    let text = rustc(&["-vV"])?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn has_sanitizer_runtime(host: &str) -> Result<bool> {
    let folder = rustc(&["--print", "target-libdir", "--target", host])?;
    let mut entries =
        std::fs::read_dir(folder.trim()).with_context(|| format!("cannot read {}", folder.trim()))?;
    Ok(entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().ends_with("_rt.asan.a"))))
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let output = Command::new("rustc").args(arguments).output().context("cannot start rustc")?;
    ensure!(
        output.status.success(),
        "rustc {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(success: bool, text: &str) -> Captured {
        Captured { success, text: text.to_owned() }
    }

    #[test]
    fn a_planted_fault_that_nobody_finds_is_red() {
        assert!(verdict(&captured(true, "test result: ok")).is_err());
        assert!(verdict(&captured(false, "error: could not compile")).is_err());
        assert!(
            verdict(&captured(false, "==1==ERROR: AddressSanitizer: heap-use-after-free on address")).is_ok()
        );
    }
}
