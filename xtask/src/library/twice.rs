//! Two versions of the library in one build: each would have a context of its own on every thread, and what one binds the
//! other would not see. Cargo has to refuse them, which it does as long as the manifest says so.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Library, PACKAGE};
use crate::steps::Steps;
use crate::workspace::{cargo, root};

/// What cargo says of two packages that link the same name.
const REFUSED: &str = "links to the native library `haversack`";

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    let folder = library.folder.join("twice");
    write(&folder).with_context(|| format!("cannot write a package into {}", folder.display()))?;
    let mut resolve = Command::new(cargo());
    resolve.current_dir(&folder).args(["generate-lockfile", "--offline"]);
    let (captured, started) = steps.capture("two versions", &mut resolve)?;
    steps.judge("two versions", started, refused(captured.success, captured.text))
}

fn refused(success: bool, text: String) -> Result<(), String> {
    match (success, text.contains(REFUSED)) {
        (false, true) => Ok(()),
        (true, _) => {
            Err("a build may hold two versions of the library, each with a context of its own".to_owned())
        }
        (false, false) => Err(text),
    }
}

/// A program that wants this version of the library, and a later one, of which only the manifest is there.
fn write(folder: &Path) -> std::io::Result<()> {
    let later = folder.join("later");
    for place in [folder, &later] {
        fs::create_dir_all(place.join("src"))?;
        fs::write(place.join("src/lib.rs"), "")?;
    }
    let ours = root().join("crates").join(PACKAGE);
    let wants = format!(
        "[package]\nname = \"twice\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n[dependencies]\n\
         this = {{ package = \"{PACKAGE}\", path = {ours:?} }}\nlater = {{ package = \"{PACKAGE}\", path = \"later\" }}\n"
    );
    fs::write(folder.join("Cargo.toml"), wants)?;
    let manifest = format!(
        "[package]\nname = \"{PACKAGE}\"\nversion = \"99.0.0\"\nedition = \"2021\"\nlinks = \"{PACKAGE}\"\n"
    );
    fs::write(later.join("Cargo.toml"), manifest)?;
    fs::write(later.join("build.rs"), "fn main() {}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_may_hold_both_is_red_and_so_is_another_refusal() {
        assert!(refused(true, String::new()).is_err());
        assert!(refused(false, "no such package".to_owned()).is_err());
        assert!(refused(false, format!("error: package `a` {REFUSED}, but it conflicts")).is_ok());
    }
}
