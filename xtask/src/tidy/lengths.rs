//! Lengths of Rust files. Past 400 lines a file is worth a second look for the rooms in it; past 800 it has to
//! be split. A long file is where the next thing is put because everything else is there already.

use super::{Finding, tree::Tree};

pub const LOOK_TWICE: usize = 400;
const SPLIT: usize = 800;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let long = tree.sources.iter().filter(|source| source.length() > SPLIT);
    long.map(|source| {
        Finding::of(
            &source.path,
            format!("{} lines; the limit is {SPLIT}", source.length()),
            "find the rooms in it and give each a file and a name",
        )
    })
    .collect()
}

/// The files past the first mark, longest first.
pub fn to_look_at(tree: &Tree) -> Vec<(&str, usize)> {
    let mut long: Vec<_> = tree
        .sources
        .iter()
        .map(|source| (source.path.as_str(), source.length()))
        .filter(|(_, lines)| *lines > LOOK_TWICE)
        .collect();
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::planted::files;

    #[test]
    fn a_file_past_the_limit_is_red_and_one_past_the_mark_is_listed() {
        let (long, longer) = ("\n".repeat(LOOK_TWICE + 1), "\n".repeat(SPLIT + 1));
        let tree = files(&[("a.rs", "\n"), ("b.rs", &long), ("c.rs", &longer)]);
        assert_eq!(check(&tree).len(), 1);
        assert_eq!(to_look_at(&tree), [("c.rs", SPLIT + 1), ("b.rs", LOOK_TWICE + 1)]);
    }
}
