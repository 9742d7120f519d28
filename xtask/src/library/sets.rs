//! Every set of features that shows a missing `cfg`: none, each alone, all pairs, all. A third feature adds no
//! line that two did not see, as long as no `cfg` asks for three. The laws compile with none and with each alone, so that
//! whoever works on one feature may run them without the rest.

use std::time::Instant;

use anyhow::{Context, Result};

use super::Library;
use crate::steps::Steps;

pub fn check(steps: &mut Steps, library: &Library) -> Result<()> {
    let features = library.features();
    let sets = sets(&features);
    println!("\n== feature sets: cargo check of {} sets of {} features", sets.len(), features.len());
    compile(steps, library, "feature sets", &["--lib"], &sets)?;
    let alone = &sets[..=features.len()];
    println!("\n== feature sets, laws: cargo check of {} sets", alone.len());
    compile(steps, library, "feature sets, laws", &["--test", "laws"], alone)
}

fn compile(
    steps: &mut Steps,
    library: &Library,
    name: &str,
    target: &[&str],
    sets: &[Vec<&str>],
) -> Result<()> {
    let started = Instant::now();
    let (mut red, mut broken): (Vec<String>, Vec<&Vec<&str>>) = (Vec::new(), Vec::new());
    for set in sets {
        // What is broken alone is broken in company, and is said once.
        if broken.iter().any(|broken| broken.iter().all(|feature| set.contains(feature))) {
            continue;
        }
        let output = library.cargo_of("check", target, set).output().context("cannot start cargo check")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let (target, set_of) = (target.join(" "), set.join(","));
            red.push(format!("{target} does not compile with the features [{set_of}]:\n{text}"));
            broken.push(set);
        }
    }
    let verdict = if red.is_empty() { Ok(()) } else { Err(red.join("\n")) };
    steps.judge(name, started, verdict)
}

/// None, each alone, every pair, all.
fn sets<'a>(features: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut sets = vec![Vec::new()];
    sets.extend(features.iter().map(|feature| vec![*feature]));
    for (index, first) in features.iter().enumerate() {
        sets.extend(features[index + 1..].iter().map(|second| vec![*first, *second]));
    }
    if features.len() > 2 {
        sets.push(features.to_vec());
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::sets;

    #[test]
    fn no_pair_is_left_out_or_repeated() {
        let sets = sets(&["a", "b", "c"]);
        let expected: [&[&str]; 8] =
            [&[], &["a"], &["b"], &["c"], &["a", "b"], &["a", "c"], &["b", "c"], &["a", "b", "c"]];
        assert_eq!(sets, expected);
        // None and each alone come first: those are what the laws are compiled with.
        assert!(sets[..=3].iter().all(|set| set.len() < 2));
    }
}
