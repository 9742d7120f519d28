//! Long answers in parts that a platform takes.
//!
//! A text is cut at the last paragraph, line, sentence or word that fits, and inside a word only when nothing else does. No
//! character is lost but the white space at a cut. The ledger cuts; the same text and limit give the same parts, so a
//! delivery can go on where it stopped.

/// Where a text may be cut, best first.
const SEAMS: [&str; 4] = ["\n\n", "\n", ". ", " "];

/// The parts of `text`, each of at most `most` characters.
pub(crate) fn parts(text: &str, most: usize) -> Vec<&str> {
    let most = most.max(1);
    let mut parts = Vec::new();
    let mut rest = text.trim_end();
    while let Some((hard, _)) = rest.char_indices().nth(most) {
        let cut = seam(&rest[..hard]).unwrap_or(hard);
        let (part, after) = rest.split_at(cut);
        parts.push(part.trim_end());
        rest = after.trim_start_matches([' ', '\n']);
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// The best seam of a full part. One in its first half would leave the part nearly empty.
fn seam(part: &str) -> Option<usize> {
    SEAMS.iter().find_map(|seam| part.rfind(seam).map(|at| at + seam.len()).filter(|at| *at > part.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_short_text_is_one_part() {
        assert_eq!(parts("hello", 5), ["hello"]);
        assert_eq!(parts("", 5), Vec::<&str>::new());
    }

    #[test]
    fn a_long_text_is_cut_where_a_reader_would() {
        assert_eq!(parts("one two three", 8), ["one two", "three"]);
        assert_eq!(parts("First. Second sentence.", 14), ["First. Second", "sentence."]);
        assert_eq!(parts("aaaa\n\nbbbb cc", 8), ["aaaa", "bbbb cc"]);
    }

    #[test]
    fn a_word_longer_than_a_part_is_cut_hard_and_never_inside_a_character() {
        let text = "ä".repeat(25);
        let cut = parts(&text, 10);
        assert_eq!(cut.iter().map(|part| part.chars().count()).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(cut.concat(), text);
    }
}
