//! Turning any text into words that may be looked up.
//!
//! A question is split at everything that is not part of a word, stop words are dropped, and each word is quoted
//! for the index, so that no character keeps a meaning there. Only the search calls it.

/// How many different words of a question are looked up; a pasted document has more, and its first ones tell.
const MAX_WORDS: usize = 48;
/// The longest word that is looked up, in bytes; nobody asks for longer ones.
const MAX_WORD: usize = 128;

/// The different words of `text` that carry meaning, in lower case and in order.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        if word.len() <= MAX_WORD && !is_stop_word(&word) && !words.contains(&word) {
            words.push(word);
            if words.len() == MAX_WORDS {
                break;
            }
        }
    }
    words
}

/// Whether `text` has any word at all, stop words included.
pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(is_word)
}

/// A word as a string of the index's query language, where only the quote itself has a meaning.
pub(super) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
}

fn is_word(c: char) -> bool {
    // A combining accent belongs to its letter, as it does for the index.
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Words that say how something is asked, not what. Sorted.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "again", "also", "am", "an", "and", "any", "anyone", "are", "as", "at", "be", "been", "being",
    "but", "by", "can", "could", "d", "did", "do", "does", "doing", "don", "for", "from", "get", "give", "got",
    "had", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "itself", "just", "know", "let", "like", "ll", "m", "may", "me", "might", "mine", "must", "my",
    "need", "not", "now", "of", "off", "on", "once", "or", "our", "ours", "out", "over", "please", "re", "remember",
    "remind", "s", "say", "shall", "she", "should", "so", "some", "such", "t", "tell", "than", "thank", "thanks",
    "that", "the", "their", "theirs", "them", "then", "there", "these", "they", "this", "those", "to", "too", "up",
    "us", "ve", "very", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn words_lose_every_metacharacter() {
        assert_eq!(words("Who's NEAR(kim* OR \"lee\") -^:{x}\0;--"), ["near", "kim", "lee", "x"]);
        assert_eq!(words("re\u{301}sume\u{301} the re\u{301}sume\u{301}"), ["re\u{301}sume\u{301}"]);
        assert_eq!(words("who are you?"), Vec::<String>::new());
    }
}
