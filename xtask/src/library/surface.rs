//! What the library's interface names of other crates. A type of somebody else's in a signature ties our versions
//! to theirs, so it stands behind the feature that names it, and nowhere else. The truth is rustdoc's own: its JSON,
//! made with each feature alone, holds every path that a public item, an implementation or a bound refers to.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Library;
use crate::steps::Steps;

/// What each feature may show. serde's traits are in bounds without any, and the macro of pin-project-lite writes
/// `Unpin` by a hidden type of its own.
const MAY_SHOW: &[(&str, &[&str])] = &[
    ("", &["serde", "serde_core", "pin_project_lite"]),
    ("audit", &["tokio", "tokio_util"]),
    ("axum", &["axum_core", "http"]),
    ("futures-io", &["futures_io"]),
    ("http-body", &["http_body", "bytes"]),
    ("io", &["tokio"]),
    ("opentelemetry", &["opentelemetry", "http"]),
    ("propagator", &["http"]),
    ("rayon", &["rayon", "rayon_core"]),
    ("sink", &["futures_sink"]),
    ("stream", &["futures_core"]),
    ("tokio", &["tokio", "tokio_util"]),
    ("tower", &["http", "http_body", "bytes", "tower_layer", "tower_service"]),
    ("tracing", &["tracing"]),
];

const STANDARD: &[&str] = &["std", "core", "alloc"];

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    println!("\n== surface: rustdoc's JSON with each feature alone");
    let started = Instant::now();
    let mut findings = Vec::new();
    for feature in [""].into_iter().chain(library.features()) {
        let document = document(library, feature)?;
        for (name, path) in foreign(&document) {
            if !may_show(feature, &name) {
                let with = if feature.is_empty() { "no feature" } else { feature };
                findings.push(format!("with {with}, the library's interface names `{path}` of `{name}`"));
            }
        }
    }
    let mend = "hide the type, or list its crate in MAY_SHOW beside the feature that names it";
    let verdict =
        if findings.is_empty() { Ok(()) } else { Err(format!("{}\n    {mend}", findings.join("\n"))) };
    steps.judge("surface", started, verdict)
}

fn may_show(feature: &str, name: &str) -> bool {
    let mut rows = MAY_SHOW.iter().filter(|(row, _)| row.is_empty() || *row == feature);
    STANDARD.contains(&name) || rows.any(|(_, crates)| crates.contains(&name))
}

fn document(library: &Library, feature: &str) -> Result<Value> {
    let mut command = library.cargo("rustdoc", &[feature]);
    let output = command
        .args(["--", "-Zunstable-options", "--output-format", "json"])
        .output()
        .context("cannot start cargo rustdoc")?;
    ensure!(output.status.success(), "cargo rustdoc: {}", String::from_utf8_lossy(&output.stderr).trim());
    let path = library.folder.join("doc").join(format!("{}.json", super::PACKAGE));
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).context("cannot read rustdoc's JSON")
}

/// The crates that are not ours and the paths in them that something public refers to.
fn foreign(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let items = document["index"].as_object().into_iter().flat_map(|index| index.values());
    for item in items.filter(|item| item["crate_id"] == 0) {
        let implementation = &item["inner"]["impl"];
        // Not written by us: what a crate implements for every type, and what the compiler adds.
        if !implementation["blanket_impl"].is_null() || implementation["is_synthetic"] == true {
            continue;
        }
        walk(&item["inner"], &mut |id| {
            let summary = &document["paths"][id];
            let Some(owner) = summary["crate_id"].as_u64().filter(|owner| *owner != 0) else { return };
            let name = document["external_crates"][owner.to_string()]["name"].as_str().unwrap_or("?");
            let path = summary["path"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.insert((name.to_owned(), path.collect::<Vec<_>>().join("::")));
        });
    }
    found
}

/// Calls `seen` with each id that a path in `value` refers to.
fn walk(value: &Value, seen: &mut impl FnMut(&str)) {
    match value {
        Value::Object(object) => {
            let refers = object.contains_key("path") || object.contains_key("source");
            if let Some(id) = object.get("id").filter(|id| refers && !id.is_null()) {
                seen(&id.to_string());
            }
            object.values().for_each(|value| walk(value, seen));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, seen)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(inner: Value) -> Value {
        json!({
            "index": { "0": { "crate_id": 0, "inner": inner } },
            "paths": {
                "7": { "crate_id": 3, "path": ["tokio", "task", "JoinHandle"] },
                "8": { "crate_id": 0, "path": ["haversack", "Context"] },
            },
            "external_crates": { "3": { "name": "tokio" } },
        })
    }

    #[test]
    fn a_type_of_another_crate_in_a_signature_is_seen() {
        let signature = json!({ "function": { "sig": { "inputs": [["context",
            { "resolved_path": { "path": "Context", "id": 8 } }]],
            "output": { "resolved_path": { "path": "JoinHandle", "id": 7, "args": null } } } } });
        let found = foreign(&document(signature));
        let expected = ("tokio".to_owned(), "tokio::task::JoinHandle".to_owned());
        assert_eq!(found, BTreeSet::from([expected]));
    }

    #[test]
    fn what_others_implement_for_every_type_is_not_ours() {
        let blanket = json!({ "impl": { "blanket_impl": { "generic": "T" }, "is_synthetic": false,
            "trait": { "path": "Instrument", "id": 7 } } });
        assert_eq!(foreign(&document(blanket)), BTreeSet::new());
        let ours = json!({ "impl": { "blanket_impl": null, "is_synthetic": false,
            "trait": { "path": "AsyncRead", "id": 7 } } });
        assert_eq!(foreign(&document(ours)).len(), 1);
    }

    #[test]
    fn what_does_our_work_inside_is_in_no_row() {
        let shown = |name| MAY_SHOW.iter().any(|(_, crates)| crates.contains(&name));
        let inside = ["base64", "chacha20poly1305", "getrandom", "serde_json", "zeroize"];
        assert_eq!(inside.into_iter().find(|name| shown(name)), None);
    }

    #[test]
    fn a_crate_is_shown_behind_the_feature_that_names_it_and_nowhere_else() {
        assert!(may_show("tokio", "tokio") && may_show("tokio", "serde_core") && may_show("", "core"));
        assert!(
            !may_show("", "tokio") && !may_show("stream", "tokio") && !may_show("snapshot", "serde_json")
        );
    }
}
