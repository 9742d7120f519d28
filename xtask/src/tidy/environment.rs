//! The process environment. It is one for all tenants, so one module reads it, and nobody writes it.
//! Everything else is given its settings as values. `env!` is not meant: it reads the environment of the build.

use super::{Finding, tree::Tree};

/// The one module of the product that reads the environment.
const READER: &str = "crates/server/src/config/";

const READS: &[&str] =
    &["env::var", "env::vars", "env::var_os", "env::vars_os", "env::home_dir", "env::temp_dir"];
const WRITES: &[&str] = &["set_var", "remove_var", "set_current_dir"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let our_tool = source.path.starts_with("xtask/");
        for word in READS {
            for line in source.lines_with(word) {
                if !source.path.starts_with(READER) && !our_tool && !source.is_test(line) {
                    findings.push(Finding::at(
                        &source.path,
                        line,
                        format!("`{word}` is read outside {READER}"),
                        "take the value as a parameter; the server resolves the environment once, at its start",
                    ));
                }
            }
        }
        for word in WRITES {
            for line in source.lines_with(word) {
                findings.push(Finding::at(
                    &source.path,
                    line,
                    format!("`{word}` changes what every tenant sees"),
                    "bind a variable, or give a child process its own with Command::env and Command::current_dir",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    #[test]
    fn a_read_outside_the_one_module_is_red() {
        let bad = "fn f() { let _ = std::env::var(\"HOME\"); }";
        assert_eq!(check(&files(&[("crates/agent/src/model/genai.rs", bad)])).len(), 1);
        assert_eq!(check(&files(&[("crates/server/src/http/router.rs", bad)])).len(), 1);
        for exempt in [
            "crates/server/src/config/secret.rs",
            "crates/server/tests/laws/main.rs",
            "xtask/src/workspace.rs",
        ] {
            assert_eq!(check(&files(&[(exempt, bad)])), [], "{exempt}");
        }
        assert_eq!(
            check(&files(&[("crates/agent/src/lib.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\");")])),
            []
        );
    }

    #[test]
    fn a_write_is_red_everywhere() {
        for path in
            ["crates/server/src/config/secret.rs", "crates/server/tests/laws/main.rs", "xtask/src/test.rs"]
        {
            assert_eq!(
                check(&files(&[(path, "fn f() { std::env::set_var(\"A\", \"b\") }")])).len(),
                1,
                "{path}"
            );
        }
    }
}
