//! Words in common, by stems: the one measure by which this model calls a text an answer.

use std::collections::HashSet;

use crate::words::{is_stop_word, stem, tokens};

/// Words of questions about memory itself.
const ASKING: &str = "remember recall mention said say call name's find show look give remind list told know";

/// True if a word carries no meaning of its own in a question.
pub(super) fn is_empty(word: &str) -> bool {
    is_stop_word(word) || ASKING.split(' ').any(|asking| asking == word)
}

/// The stems of a text that carry meaning.
pub(super) fn stems(text: &str) -> HashSet<String> {
    tokens(text).iter().filter(|word| !is_empty(&word.lower)).map(|word| stem(&word.lower)).collect()
}

/// How many of the asked words the text has.
pub(super) fn covered(asked: &HashSet<String>, text: &HashSet<String>) -> usize {
    asked.iter().filter(|stem| text.contains(*stem)).count()
}

/// True if a fact with `covered` of `asked` words answers: up to four words all of them, of more four in five.
pub(super) fn answers(covered: usize, asked: usize) -> bool {
    asked > 0 && if asked <= 4 { covered == asked } else { covered * 5 >= asked * 4 }
}

/// True if a section of the handbook with `covered` of `asked` words is about the question: more than half of them.
pub(super) fn touches(covered: usize, asked: usize) -> bool {
    covered * 2 > asked
}
