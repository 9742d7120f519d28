//! `cargo xtask test --deep`: what needs the tree built again in another way. The library's tests run under
//! AddressSanitizer, which also finds leaked reference counts; its hand-overs between threads under ThreadSanitizer;
//! and models of its reference counts under loom, in every interleaving. Each is demanded to find a fault that is
//! planted for it: a check that cannot go red proves nothing. Builds go to folders of their own inside the target
//! folder.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::{Captured, Steps};
use crate::workspace::{Metadata, cargo, root};

/// The library is the only package with `unsafe`.
const PACKAGE: &str = "haversack";
/// Test targets that reach no `unsafe` code the others do not, and whose dependencies are most of the tree (the
/// library's manifest leaves those dependencies out of a sanitized build), or that are empty there.
const LEFT_OUT: &[&str] = &["compile_fail", "http", LOOM];
/// What the leak check is told to pass over.
const LEAKS_ON_PURPOSE: &str = "xtask/leaks_on_purpose.txt";
/// The models, and in the same program the faults that they must find.
const LOOM: &str = "loom";
/// A program with its own `main` over std's threads: ThreadSanitizer sees no synchronisation inside std, so that it
/// takes a test harness or a runtime for a race.
const RACES: &str = "races";

/// A sanitizer, and the fault that is planted for it.
struct Sanitizer {
    name: &'static str,
    /// Flags of the compiler.
    flags: &'static str,
    /// How the file of its runtime ends.
    runtime: &'static str,
    /// The value of `haversack_planted_fault`.
    fault: Option<&'static str>,
    /// What it calls the fault.
    finding: &'static str,
}

const ADDRESS: Sanitizer = Sanitizer {
    name: "address sanitizer",
    flags: "-Zsanitizer=address",
    runtime: "_rt.asan.a",
    fault: None,
    finding: "AddressSanitizer: heap-use-after-free",
};

const THREAD: Sanitizer = Sanitizer {
    name: "thread sanitizer",
    // Std was built without it, which is why the program keeps to what std's generic code does.
    flags: "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer",
    runtime: "_rt.tsan.a",
    fault: Some("relaxed"),
    finding: "ThreadSanitizer: data race",
};

/// Runs the models and the sanitizers.
pub fn run(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    steps.run("models", &mut models())?;
    let host = host()?;
    let mut tests = vec!["--features".to_owned(), features(metadata), "--lib".to_owned()];
    tests.extend(address_tests(metadata).flat_map(|test| ["--test".to_owned(), test.to_owned()]));
    twice(steps, &ADDRESS, &host, &tests)?;
    twice(steps, &THREAD, &host, &["--test".to_owned(), RACES.to_owned()])
}

/// Runs tests as they are, which must be green, and with the fault planted, which must be found.
fn twice(steps: &mut Steps, sanitizer: &Sanitizer, host: &str, tests: &[String]) -> Result<()> {
    ensure!(
        has_runtime(sanitizer, host)?,
        "this toolchain has no runtime of the {} for {host}; run it on x86_64-unknown-linux-gnu",
        sanitizer.name
    );
    steps.run(sanitizer.name, &mut sanitized(sanitizer, host, &[], tests))?;
    let name = format!("{}, planted fault", sanitizer.name);
    let mut command = sanitized(sanitizer, host, &planted(sanitizer), tests);
    let (captured, started) = steps.capture(&name, &mut command)?;
    steps.judge(&name, started, verdict(sanitizer, &captured))
}

/// Red unless the tests failed, and failed because the sanitizer saw the fault.
fn verdict(sanitizer: &Sanitizer, captured: &Captured) -> Result<(), String> {
    let finding = sanitizer.finding;
    if captured.text.contains(finding) && !captured.success {
        return Ok(());
    }
    let lines: Vec<&str> = captured.text.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(format!("the planted fault was not found: the output does not hold `{finding}`. Its end:\n{tail}"))
}

/// Cargo's options that plant the fault in the library alone, so that the dependencies are not built again.
fn planted(sanitizer: &Sanitizer) -> [String; 3] {
    let value = sanitizer.fault.map_or_else(String::new, |fault| format!("=\\\"{fault}\\\""));
    let flags = format!("[\"--cfg\",\"haversack_planted_fault{value}\"]");
    let config = format!("profile.dev.package.{PACKAGE}.rustflags={flags}");
    ["-Zprofile-rustflags".to_owned(), "--config".to_owned(), config]
}

/// The library's tests under a sanitizer. `options` come before cargo's own command.
fn sanitized(sanitizer: &Sanitizer, host: &str, options: &[String], tests: &[String]) -> Command {
    let leaks = root().join(LEAKS_ON_PURPOSE);
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(options)
        .args(["test", "--package", PACKAGE, "--no-fail-fast"])
        .args(["--target", host, "--target-dir", "target/deep"])
        .args(tests)
        // The sanitizer's switch and flags for one package are not stable; the sanitizer's runtime ships with the
        // stable toolchain.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", sanitizer.flags)
        .env("LSAN_OPTIONS", format!("print_suppressions=0:suppressions={}", leaks.display()))
        .env("CARGO_INCREMENTAL", "0");
    command
}

fn address_tests(metadata: &Metadata) -> impl Iterator<Item = &str> {
    let targets = metadata.targets("test").filter(|(package, target)| {
        // A target of the mutants build needs a feature that this build does not have.
        let mutants = target.required_features.iter().any(|feature| feature == "mutants");
        package.name == PACKAGE && !mutants && !LEFT_OUT.contains(&target.name.as_str())
    });
    targets.map(|(_, target)| target.name.as_str())
}

/// The models of the reference counts. Their own faults are planted while they run.
fn models() -> Command {
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(["test", "--package", PACKAGE, "--test", LOOM, "--target-dir", "target/deep"])
        .env("RUSTFLAGS", "--cfg loom")
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

fn has_runtime(sanitizer: &Sanitizer, host: &str) -> Result<bool> {
    let folder = rustc(&["--print", "target-libdir", "--target", host])?;
    let mut entries =
        std::fs::read_dir(folder.trim()).with_context(|| format!("cannot read {}", folder.trim()))?;
    Ok(entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().ends_with(sanitizer.runtime))))
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
        let verdict = |success, text| verdict(&ADDRESS, &captured(success, text));
        assert!(verdict(true, "test result: ok").is_err());
        assert!(verdict(false, "error: could not compile").is_err());
        assert!(verdict(false, "==1==ERROR: AddressSanitizer: heap-use-after-free on address").is_ok());
    }

    #[test]
    fn a_fault_is_planted_in_the_library_alone() {
        let config = |sanitizer| planted(sanitizer)[2].clone();
        let library = "profile.dev.package.haversack.rustflags=";
        assert_eq!(config(&ADDRESS), format!(r#"{library}["--cfg","haversack_planted_fault"]"#));
        assert_eq!(config(&THREAD), format!(r#"{library}["--cfg","haversack_planted_fault=\"relaxed\""]"#));
    }
}
