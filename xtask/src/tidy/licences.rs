//! Licences and banned crates of the whole tree, over all features and platforms. A licence is an SPDX
//! expression: `OR` needs one side on the allow-list, `AND` needs both. A banned crate stands here with the
//! reason, so that the reason is read before the ban is lifted.

use super::{Finding, tree::Tree};

/// Licences that ask for no more than their notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "it needs a system library on every machine; TLS is rustls here"),
    ("native-tls", "it needs a system library on every machine; TLS is rustls here"),
    ("aws-lc-sys", "a second crypto provider beside ring, with a long C build"),
    ("serde_yaml", "unmaintained"),
    ("sqlx", "a second SQLite that clashes with the bundled one, and 180 crates"),
    ("sqlx-core", "a second SQLite that clashes with the bundled one, and 180 crates"),
    ("lancedb", "600 crates for what exact search per tenant does"),
    ("tokio-cron-scheduler", "it spawns tasks of its own, outside any context"),
    ("apalis", "its engine runs jobs twice with the default prefetch"),
    ("rig-core", "its shared driver polls tool calls under another request's context"),
    ("fred", "no release for 21 months; redis is maintained"),
    ("async-std", "discontinued, and a second runtime"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.metadata.packages {
        let id = format!("{} {}", package.name, package.version);
        let name = format!("Cargo.lock ({id})");
        match package.license.as_deref() {
            Some(expression) if allowed(expression) => {}
            Some(expression) => findings.push(Finding::of(
                name.clone(),
                format!("its licence `{expression}` is not on the allow-list"),
                "choose another crate, or add the licence to ALLOWED in xtask/src/tidy/licences.rs after reading it",
            )),
            None => findings.push(Finding::of(
                name.clone(),
                match &package.license_file {
                    Some(file) => format!("it names no SPDX licence, only the file {file}"),
                    None => "it names no licence".to_owned(),
                },
                "choose another crate: without an SPDX expression nobody can check it",
            )),
        }
        let banned = BANNED.iter().find(|(banned, _)| *banned == package.name && tree.built.contains(&id));
        if let Some((_, why)) = banned {
            findings.push(Finding::of(
                name,
                format!("this crate is banned: {why}"),
                "find who brings it with `cargo tree --all-features --target all -i <crate>` and switch that off",
            ));
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied by allowed licences alone. The old `MIT/Apache-2.0` means `OR`.
/// An expression that cannot be read is not allowed.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Expression { words: &words };
    parser.any().is_some_and(|value| value && parser.words.is_empty())
}

/// A recursive descent over the words that remain. `None` means that the expression is malformed.
struct Expression<'a> {
    words: &'a [&'a str],
}

impl<'a> Expression<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.take("OR") {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let value = self.any()?;
            return self.take(")").then_some(value);
        }
        let name = self.next().filter(|word| !matches!(*word, "OR" | "AND" | "WITH" | ")"))?;
        if self.take("WITH") {
            let full = format!("{name} WITH {}", self.next()?);
            return Some(ALLOWED.contains(&full.as_str()));
        }
        Some(ALLOWED.contains(&name))
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tidy::tree::planted::packages;

    #[test]
    fn expressions_are_evaluated_and_not_compared() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR (MIT AND ISC)",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND AGPL-3.0",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "",
            "MIT OR",
            "(MIT",
            "MIT ISC",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_copyleft_or_nameless_package_is_red() {
        let tree = packages(
            json!([{ "name": "a", "license": "GPL-3.0" }, { "name": "b" }, { "name": "c", "license": "MIT" }]),
        );
        assert_eq!(check(&tree).len(), 2);
    }

    #[test]
    fn a_banned_crate_is_red_with_its_reason() {
        let findings = check(&packages(json!([{ "name": "serde_yaml", "license": "MIT" }])));
        assert!(findings[0].what.contains("unmaintained"), "{findings:?}");
    }
}
