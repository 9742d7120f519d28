//! The features that must never reach a released build. `mutants` breaks an isolation on purpose, `testing`
//! opens a door for tests: neither is in a default set, neither is switched on by another feature or by a normal
//! dependency. A dev dependency may ask for `testing`.

use super::stair::manifest;
use super::{Finding, tree::Tree};

const TEST_ONLY: &[&str] = &["mutants", "testing"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.metadata.members() {
        for (feature, enables) in &package.features {
            // A test-only feature may forward to its namesake in the crates below.
            let leaks = enables.iter().filter(|enabled| {
                let last = enabled.rsplit(['/', ':']).next().unwrap_or(enabled);
                TEST_ONLY.contains(&last) && feature != last
            });
            for leak in leaks {
                findings.push(Finding::of(
                    manifest(package),
                    format!("feature `{feature}` of `{}` switches on `{leak}`", package.name),
                    "test-only features are named on the command line of a test build and nowhere else",
                ));
            }
        }
        for dependency in &package.dependencies {
            let normal = dependency.kind.as_deref() != Some("dev");
            for feature in &dependency.features {
                let banned = feature == "mutants" || normal && TEST_ONLY.contains(&feature.as_str());
                if banned && dependency.name.starts_with("haversack") {
                    findings.push(Finding::of(
                        manifest(package),
                        format!(
                            "`{}` depends on `{}` with the feature `{feature}`",
                            package.name, dependency.name
                        ),
                        "ask for `testing` in [dev-dependencies] only, and for `mutants` nowhere",
                    ));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tidy::tree::planted::packages;

    #[test]
    fn a_test_only_feature_in_the_default_set_is_red() {
        for enabled in ["mutants", "haversack/mutants", "haversack/testing"] {
            let tree = packages(json!([{ "name": "haversack-store", "features": { "default": [enabled] } }]));
            assert_eq!(check(&tree).len(), 1, "{enabled}");
        }
        let tree = packages(
            json!([{ "name": "haversack-store", "features": { "mutants": ["haversack/mutants"] } }]),
        );
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn a_normal_dependency_that_asks_for_one_is_red() {
        let ask = |kind: Option<&str>, feature: &str| {
            let dependency = json!({ "name": "haversack", "kind": kind, "features": [feature] });
            check(&packages(json!([{ "name": "haversack-store", "dependencies": [dependency] }]))).len()
        };
        assert_eq!(ask(None, "testing"), 1);
        assert_eq!(ask(Some("build"), "testing"), 1);
        assert_eq!(ask(Some("dev"), "mutants"), 1);
        assert_eq!(ask(Some("dev"), "testing"), 0);
        assert_eq!(ask(None, "tokio"), 0);
    }
}
