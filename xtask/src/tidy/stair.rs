//! The dependency stair: which crate may depend on which, and which crate owns an outside part. It reads what
//! the manifests declare, for every kind of dependency. The library's own list is closed, because whoever adds
//! it to a program gets all of it.

use super::{Finding, tree::Tree};
use crate::workspace::Package;

/// The steps, lowest first. A package may depend on members of lower steps only.
const STAIR: &[&[&str]] = &[
    &["haversack"],
    &["haversack-store", "haversack-child"],
    &["haversack-memory", "haversack-jobs"],
    &["haversack-agent", "haversack-pipeline"],
    &["haversack-gateway", "haversack-mcp"],
    &["haversack-server"],
    &["xtask"],
];

/// Outside parts with one owner each, or a few, and why.
const OWNED: &[(&str, &[&str], &str)] = &[
    ("rusqlite", STORE, "storage is opened in one crate, which checks the scope"),
    ("libsqlite3-sys", STORE, "storage is opened in one crate, which checks the scope"),
    ("tokio-postgres", STORE, "storage is opened in one crate, which checks the scope"),
    ("redis", STORE, "storage is opened in one crate, which checks the scope"),
    (
        "rmcp",
        &["haversack-mcp"],
        "the protocol does not carry a context; one crate binds it again around each handler",
    ),
    ("chacha20poly1305", &["haversack"], "what leaves the process is sealed in one place"),
    ("chrono", &[], "a second time library, which only rmcp brings along; jiff is ours"),
    ("serde-saphyr", &["haversack-pipeline"], "one file of the product reads YAML"),
    ("genai", &["haversack-agent"], "model providers are reached through our ChatModel only"),
    ("anyhow", PROGRAMS, "libraries have typed errors"),
    ("clap", PROGRAMS, "libraries have no command line"),
    (
        "tracing-subscriber",
        &["haversack", "haversack-agent", "haversack-pipeline", "haversack-server"],
        "libraries emit, the program collects",
    ),
];
const STORE: &[&str] = &["haversack-store"];
const PROGRAMS: &[&str] = &["haversack-server", "xtask"];

/// What the library always brings along.
const LIBRARY_CORE: &[&str] = &["pin-project-lite", "serde", "serde_json"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.metadata.members() {
        let Some(step) = step_of(&package.name) else {
            findings.push(Finding::of(
                manifest(package),
                format!("package `{}` has no step in the dependency stair", package.name),
                "give it a place in STAIR of xtask/src/tidy/stair.rs and in ARCHITECTURE.md",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let to_itself = dependency.name == package.name && dependency.kind.as_deref() == Some("dev");
            if step_of(&dependency.name).is_some_and(|lower| lower >= step) && !to_itself {
                findings.push(Finding::of(
                    manifest(package),
                    format!(
                        "`{}` depends on `{}`, which is not below it in the stair",
                        package.name, dependency.name
                    ),
                    "move the shared type down to the crate that gives it meaning, or turn the call around",
                ));
            }
            let owner = OWNED.iter().find(|(name, owners, _)| {
                *name == dependency.name && !owners.contains(&package.name.as_str())
            });
            if let Some((name, owners, why)) = owner {
                findings.push(Finding::of(
                    manifest(package),
                    format!(
                        "`{}` depends on `{name}`, which belongs to {}: {why}",
                        package.name,
                        owners.join(", ")
                    ),
                    "ask the owning crate for what is missing instead",
                ));
            }
        }
        if package.name == "haversack" {
            findings.extend(library(package));
        }
    }
    findings
}

/// The library depends on no async runtime unless a feature asks for it.
fn library(package: &Package) -> Vec<Finding> {
    let always = package.dependencies.iter().filter(|d| d.kind.is_none() && !d.optional);
    let mut findings: Vec<Finding> = always
        .filter(|dependency| !LIBRARY_CORE.contains(&dependency.name.as_str()))
        .map(|dependency| {
            Finding::of(
                manifest(package),
                format!("the library always depends on `{}`", dependency.name),
                "make it optional behind a feature named as its module",
            )
        })
        .collect();
    for feature in package.features.get("default").into_iter().flatten() {
        findings.push(Finding::of(
            manifest(package),
            format!("the library's default features hold `{feature}`"),
            "leave the default empty: a program chooses its adapters",
        ));
    }
    findings
}

fn step_of(name: &str) -> Option<usize> {
    STAIR.iter().position(|step| step.contains(&name))
}

pub(super) fn manifest(package: &Package) -> String {
    let path = package.manifest_path.to_string_lossy().replace('\\', "/");
    match path.rfind("/crates/") {
        Some(at) => path[at + 1..].to_owned(),
        None if package.name == "xtask" => "xtask/Cargo.toml".to_owned(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tidy::tree::planted::packages;

    fn one(name: &str, dependency: serde_json::Value) -> Vec<Finding> {
        check(&packages(json!([{ "name": name, "dependencies": [dependency] }])))
    }

    #[test]
    fn an_arrow_up_the_stair_is_red() {
        let findings = one("haversack-store", json!({ "name": "haversack-memory" }));
        assert!(findings[0].what.contains("not below it"), "{findings:?}");
        assert_eq!(one("haversack-memory", json!({ "name": "haversack-store" })), []);
    }

    #[test]
    fn an_arrow_up_in_tests_is_red_too_but_not_to_itself() {
        assert_eq!(one("haversack-store", json!({ "name": "haversack-server", "kind": "dev" })).len(), 1);
        assert_eq!(one("haversack", json!({ "name": "haversack", "kind": "dev" })), []);
    }

    #[test]
    fn a_package_without_a_step_is_red() {
        assert!(check(&packages(json!([{ "name": "haversack-extra" }])))[0].what.contains("no step"));
    }

    #[test]
    fn storage_outside_store_is_red() {
        for name in ["rusqlite", "tokio-postgres", "redis"] {
            assert_eq!(one("haversack-server", json!({ "name": name })).len(), 1, "{name}");
            assert_eq!(one("haversack-store", json!({ "name": name })), []);
        }
    }

    #[test]
    fn a_library_that_always_brings_a_runtime_is_red() {
        assert_eq!(one("haversack", json!({ "name": "tokio" })).len(), 1);
        assert_eq!(one("haversack", json!({ "name": "tokio", "optional": true })), []);
        let tree = packages(json!([{ "name": "haversack", "features": { "default": ["tokio"] } }]));
        assert_eq!(check(&tree).len(), 1);
    }
}
