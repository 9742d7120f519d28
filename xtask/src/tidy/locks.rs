//! Lock files. Each workspace of the project (the product's, and the one of its peers) has one beside its manifest,
//! so that a fresh clone builds what was tested and a measurement can be repeated. It is a look at file names; what
//! is inside a lock is cargo's own.

use super::{Finding, tree::Tree};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.texts.iter().filter(|(path, text)| {
        let manifest = path.rsplit('/').next() == Some("Cargo.toml");
        manifest && text.lines().any(|line| line.trim() == "[workspace]")
    });
    manifests
        .map(|(path, _)| path.replace("Cargo.toml", "Cargo.lock"))
        .filter(|lock| !tree.exists(lock))
        .map(|lock| {
            Finding::of(
                lock,
                "a workspace without its lock file",
                "run `cargo generate-lockfile` in its folder and commit what it writes",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    #[test]
    fn a_workspace_without_its_lock_is_red() {
        let workspace = "[workspace]\nmembers = []\n";
        let package = "[package]\nname = \"a\"\n";
        let bare = [("peers/Cargo.toml", workspace), ("peers/a/Cargo.toml", package)];
        assert_eq!(check(&files(&bare)).len(), 1);
        let locked = [("peers/Cargo.toml", workspace), ("peers/Cargo.lock", "")];
        assert_eq!(check(&files(&locked)), []);
    }
}
