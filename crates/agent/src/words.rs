//! Words and sentences of a text: tokens, stems and stop words of plain English.
//!
//! A token is a run of letters and digits that may hold a dot, dash, colon, slash or at-sign inside, so that
//! codes, times and addresses stay whole; a stem is the token without its inflection, the same for every form
//! of a word. The knowledge ranking and the offline model use it, so that both mean the same by "a word in
//! common".

use std::collections::HashMap;
use std::sync::LazyLock;

/// One token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    /// As written.
    pub(crate) raw: &'t str,
    /// In lower case, without a possessive ending.
    pub(crate) lower: String,
    /// Where it begins in the text, in bytes.
    pub(crate) start: usize,
}

impl Token<'_> {
    /// Codes, numbers, times, mail addresses: what identifies one thing and has no inflection.
    pub(crate) fn is_identifier(&self) -> bool {
        self.raw.contains('@') || self.raw.chars().any(|c| c.is_ascii_digit())
    }
}

/// The first characters of a text.
pub(crate) fn first_chars(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// The sentences of a text with the places where they begin, without the white space around them. A sentence ends
/// behind a mark that white space follows, except for abbreviations such as "Dr.", or at a line break.
pub(crate) fn sentences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let begins = at + rest.len() - rest.trim_start().len();
        let mut end = begins;
        for word in text.get(begins..)?.split_inclusive(char::is_whitespace) {
            end += word.len();
            let bare = word.trim_end();
            let abbreviates = bare.len() <= 3 && bare.ends_with('.') && bare.starts_with(char::is_uppercase);
            if word.ends_with('\n') || bare.ends_with(['.', '!', '?']) && !abbreviates {
                break;
            }
        }
        at = end;
        let sentence = text.get(begins..end)?.trim_end();
        (!sentence.is_empty()).then_some((begins, sentence))
    })
}

/// Splits a text into tokens; never fails, whatever the text is.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if !first.is_alphanumeric() {
            continue;
        }
        let mut end = start + first.len_utf8();
        while let Some(&(at, c)) = chars.peek() {
            let inside = c.is_alphanumeric() || (joins(c) && followed_by_word(text, at + c.len_utf8()));
            if !inside {
                break;
            }
            end = at + c.len_utf8();
            chars.next();
        }
        let raw = &text[start..end];
        let lower = raw.to_lowercase().replace('\u{2019}', "'");
        let lower = lower.strip_suffix("'s").map(str::to_owned).unwrap_or(lower);
        found.push(Token { raw, lower, start });
    }
    found
}

fn joins(c: char) -> bool {
    matches!(c, '-' | '\'' | '\u{2019}' | '.' | ':' | '/' | '@' | '_' | '+')
}

fn followed_by_word(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(char::is_alphanumeric)
}

/// The stem of a lower-case word. Only equality of stems means anything; a stem need not be a word.
pub(crate) fn stem(word: &str) -> String {
    if let Some(base) = IRREGULAR.get(word) {
        return finish(base);
    }
    if !word.is_ascii() || word.len() <= 3 || word.bytes().any(|b| b.is_ascii_digit() || b == b'@') {
        return word.to_owned();
    }
    let word = singular(word);
    let cut = ["ing", "ed"].iter().find_map(|ending| {
        let rest = word.strip_suffix(ending)?;
        (rest.len() >= 3 && rest.bytes().any(is_vowel)).then_some(rest)
    });
    finish(cut.unwrap_or(&word))
}

fn singular(word: &str) -> String {
    if word.len() > 4
        && let Some(rest) = word.strip_suffix("ies")
    {
        return format!("{rest}y");
    }
    let hissing = ["sses", "shes", "ches", "xes"].iter().any(|ending| word.ends_with(ending));
    if hissing {
        return word[..word.len() - 2].to_owned();
    }
    match word.strip_suffix('s') {
        Some(rest) if !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)) => rest.to_owned(),
        _ => word.to_owned(),
    }
}

/// Evens out what an inflection leaves behind: the silent e, the doubled consonant, y against i.
fn finish(word: &str) -> String {
    let mut word = word.strip_suffix('e').filter(|rest| rest.len() >= 3).unwrap_or(word).to_owned();
    let bytes = word.as_bytes();
    if bytes.len() > 3
        && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
        && !is_vowel(bytes[bytes.len() - 1])
    {
        word.pop();
    }
    if word.len() > 3 && word.ends_with('i') {
        word.pop();
        word.push('y');
    }
    word
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

static IRREGULAR: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| IRREGULAR_FORMS.iter().copied().collect());

#[rustfmt::skip]
const IRREGULAR_FORMS: &[(&str, &str)] = &[
    ("paid", "pay"), ("sent", "send"), ("bought", "buy"), ("broke", "break"), ("broken", "break"),
    ("went", "go"), ("goes", "go"), ("gone", "go"), ("told", "tell"), ("kept", "keep"), ("made", "make"),
    ("came", "come"), ("gave", "give"), ("given", "give"), ("took", "take"), ("taken", "take"),
    ("wrote", "write"), ("written", "write"), ("lost", "lose"), ("tried", "try"), ("tries", "try"),
    ("began", "begin"), ("ran", "run"), ("held", "hold"), ("left", "leave"), ("built", "build"),
    ("stuck", "stick"), ("shut", "shut"), ("does", "do"), ("this", "this"), ("during", "during"),
    ("nothing", "nothing"), ("something", "something"), ("anything", "anything"),
    ("everything", "everything"), ("evening", "evening"), ("morning", "morning"), ("building", "building"),
    ("news", "news"), ("always", "always"),
];

/// Words that carry grammar, not a subject.
pub(crate) fn is_stop_word(lower: &str) -> bool {
    STOP_WORDS.binary_search(&lower).is_ok()
}

// Sorted, for the binary search; a test keeps it so.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "actually", "again", "ago", "all", "already", "also", "always", "am", "an", "and",
    "another", "any", "anyone", "anything", "are", "aren't", "as", "at", "be", "because", "been", "before",
    "being", "both", "but", "by", "can", "can't", "cannot", "could", "couldn't", "currently", "dear", "did",
    "didn't", "do", "does", "doesn't", "don't", "each", "either", "else", "even", "ever", "every",
    "everything", "exactly", "for", "from", "get", "gets", "got", "had", "has", "hasn't", "have", "haven't",
    "he", "hello", "her", "here", "hers", "hey", "hi", "him", "his", "how", "i", "i'd", "i'm", "i've", "if",
    "in", "into", "is", "isn't", "it", "its", "just", "know", "let", "like", "may", "maybe", "me", "might",
    "mine", "must", "my", "neither", "no", "none", "nor", "not", "nothing", "now", "of", "oh", "ok", "okay",
    "on", "once", "one", "only", "or", "other", "our", "ours", "over", "own", "please", "quite", "really",
    "remind", "same", "say", "shall", "she", "should", "since", "so", "some", "someone", "something", "sorry",
    "still", "such", "tell", "than", "thank", "thanks", "that", "the", "their", "theirs", "them", "then",
    "there", "these", "they", "this", "those", "to", "today", "too", "try", "up", "us", "use", "very", "was",
    "wasn't", "we", "we'd", "we're", "we've", "well", "were", "weren't", "what", "when", "where", "which",
    "while", "who", "whom", "whose", "why", "will", "with", "won't", "would", "yes", "yet", "you", "you're",
    "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted(), "binary search needs order");
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        let families: &[&[&str]] = &[
            &["ship", "ships", "shipped", "shipping"],
            &["delivery", "deliveries"],
            &["renew", "renews", "renewed", "renewing"],
            &["cancel", "cancelled", "canceled", "cancelling"],
            &["charge", "charges", "charged", "charging"],
            &["address", "addresses"],
            &["install", "installed", "installing", "installs"],
            &["box", "boxes"],
            &["try", "tries", "tried", "trying"],
        ];
        for family in families {
            for form in *family {
                assert_eq!(stem(form), stem(family[0]), "{form}");
            }
        }
        assert_ne!(stem("ship"), stem("shop"));
        assert_ne!(stem("status"), stem("state"));
    }

    #[test]
    fn codes_times_and_addresses_stay_whole() {
        let raw: Vec<_> =
            tokens("Mail a.b@c.example at 18:30, code AB-12.3. Done.").iter().map(|t| t.raw).collect();
        assert_eq!(raw, ["Mail", "a.b@c.example", "at", "18:30", "code", "AB-12.3", "Done"]);
    }
}
