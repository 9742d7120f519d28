//! What a clause wants: to be remembered, to be answered, to be helped, or nothing at all.
//!
//! The rules are tried in a fixed order and look at the first words, the last mark and a few set phrases. Reports of attempts
//! are read before, by the plan, which is the only caller.

use super::sentence::{Clause, is_auxiliary, is_wh};
use super::terms::lowers;
use super::value::Kind;
use super::verbs::{has_verb, is_change};
use crate::words::{is_stop_word, tokens};

/// What a clause wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// A question about a fact.
    Ask,
    /// A question for a procedure.
    HowTo,
    /// A request for the next step, or a problem without a question.
    Help,
    /// A statement to keep: the words without what leads up to them, and whether it corrects an earlier one.
    Tell { text: String, corrects: bool },
    /// A problem was described.
    Problem,
    /// What was tried so far?
    Attempts,
    /// Who or what is answering?
    Identity,
    /// Something is to be forgotten or deleted here.
    Forget,
    /// A greeting, thanks, a goodbye.
    Smalltalk,
    /// Nothing that needs an answer.
    Nothing,
}

/// Reads a clause.
pub(super) fn intent(clause: &Clause) -> Intent {
    let (stripped, corrects) = strip_lead(&clause.text);
    let words = tokens(stripped);
    let lower = lowers(&words);
    let Some(first) = lower.first().copied() else {
        return if tokens(&clause.text).is_empty() { Intent::Nothing } else { Intent::Smalltalk };
    };
    let all: Vec<String> = tokens(&clause.text).into_iter().map(|word| word.lower).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    if let Some(text) = after_remember(stripped, &lower, &words) {
        return Intent::Tell { text, corrects };
    }
    if let Some(text) = change_request(stripped, &lower) {
        return Intent::Tell { text, corrects: true };
    }
    let asks =
        clause.asked || is_wh(first) && !is_wh_statement(&lower) || is_auxiliary(first) || is_request(&lower);
    if asks {
        return question(&all, first);
    }
    if lower.iter().all(|word| is_courtesy(word)) {
        return Intent::Smalltalk;
    }
    // What stands behind `sorry, I meant` is the value alone.
    if corrects && words.len() <= 3 {
        return Intent::Tell { text: stripped.to_owned(), corrects };
    }
    if starts(&lower, &["forget"])
        || starts(&lower, &["delete", "everything"])
        || starts(&lower, &["delete", "what"])
    {
        return Intent::Forget;
    }
    if is_opener(&lower) {
        return Intent::Nothing;
    }
    if is_problem(&lower) {
        return Intent::Problem;
    }
    if is_instruction(stripped, &lower) {
        return Intent::Tell { text: stripped.to_owned(), corrects };
    }
    if is_imperative(first) {
        return Intent::HowTo;
    }
    let labelled = stripped.contains(": ") || stripped.contains(" = ");
    if has_verb(&words) || labelled || (corrects && words.len() <= 8) {
        return Intent::Tell { text: stripped.to_owned(), corrects };
    }
    // Words without a verb: `the invoice number, please`.
    if lower.iter().any(|word| !is_stop_word(word)) { Intent::Ask } else { Intent::Nothing }
}

fn question(lower: &[&str], first: &str) -> Intent {
    let has = |word: &str| lower.contains(&word);
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let run = |phrase: &[&str]| lower.windows(phrase.len()).any(|window| window == phrase);
    let you = has("you") || has("i") && any(&["speaking", "talking", "chatting", "writing"]);
    let about_us = any(&["bot", "robot", "human", "ai", "chatbot", "chatgpt", "llm", "offline"])
        || run(&["language", "model"])
        || run(&["real", "person"])
        || run(&["which", "model"]);
    if you && about_us || run(&["who", "are", "you"]) || run(&["what", "are", "you"]) && lower.len() <= 5 {
        return Intent::Identity;
    }
    if has("forget") && !any(&["i", "we"]) {
        return Intent::Forget;
    }
    let somebody = any(&["i", "we", "i've", "we've"]);
    let next = any(&["else", "next", "now", "another", "other", "more", "instead"]);
    let possible = any(&["can", "could", "should", "shall", "do", "might"]);
    if any(&["tried", "attempted"]) && any(&["what", "which"])
        || run(&["did", "we", "try"])
        || run(&["did", "i", "try"])
    {
        return Intent::Attempts;
    }
    // The `do` of `what can I do about it`, not the one of `what time do you open`.
    let doing = lower.iter().enumerate().any(|(at, word)| {
        let then = lower.get(at + 1).copied().unwrap_or("now");
        *word == "do"
            && at > 1
            && matches!(
                then,
                "now"
                    | "about"
                    | "with"
                    | "when"
                    | "if"
                    | "next"
                    | "then"
                    | "to"
                    | "in"
                    | "first"
                    | "after"
                    | "here"
                    | "instead"
                    | "against"
                    | "else"
            )
    });
    let acts = doing || any(&["try", "check", "help", "suggest", "recommend", "advise"]);
    if acts && any(&["what", "anything", "something", "how"]) && (somebody || next || has("you")) && possible
    {
        let open = lower
            .iter()
            .filter(|word| {
                !is_stop_word(word)
                    && !matches!(**word, "try" | "check" | "suggest" | "recommend" | "advise" | "help")
            })
            .count();
        // `what should we do with a damaged pallet` asks for a procedure, `what else can I try` for the next step.
        return if next || open == 0 { Intent::Help } else { Intent::HowTo };
    }
    let short = lower.len() <= 3;
    if run(&["what", "else"]) && short
        || run(&["what", "now"])
        || run(&["what", "next"])
        || run(&["any", "ideas"])
        || run(&["any", "other", "ideas"])
        || run(&["any", "idea"])
        || run(&["anything", "else"])
        || run(&["any", "suggestions"])
    {
        return Intent::Help;
    }
    let how = first == "how"
        || run(&["how", "do"])
        || run(&["how", "can"])
        || run(&["how", "to"])
        || run(&["how", "should"]);
    let measure =
        any(&["much", "many", "long", "often", "far", "soon", "late", "early", "high", "big", "large"]);
    let steps = any(&["do", "can", "to", "should", "does", "could"]);
    if how && !measure && steps
        || run(&["help", "me"])
        || run(&["help", "us"])
        || run(&["what", "should"]) && somebody
    {
        return Intent::HowTo;
    }
    Intent::Ask
}

/// Takes off what only leads up to a statement, and tells whether it announced a correction.
pub(super) fn strip_lead(text: &str) -> (&str, bool) {
    let mut rest = text.trim();
    let mut corrects = false;
    loop {
        let words = tokens(rest);
        let lower = lowers(&words);
        let Some((length, correction)) = lead(&lower, rest, &words) else { return (rest, corrects) };
        corrects |= correction;
        let Some(next) = words.get(length) else { return ("", corrects) };
        rest = &rest[next.start..];
    }
}

/// How many words at the beginning lead up to something, and whether they announce a correction.
fn lead(lower: &[&str], text: &str, words: &[crate::words::Token<'_>]) -> Option<(usize, bool)> {
    for (phrase, correction) in LEADS {
        // A single word leads up to something only where a mark sets it off: `no, ..` but not `no parking`.
        let set_off = || {
            let (last, next) = (&words[phrase.len() - 1], words.get(phrase.len()));
            next.is_none_or(|next| {
                text[last.end()..next.start].contains([',', ':', '-', '.', '!', '\u{2013}', '\u{2014}'])
            })
        };
        let loose = phrase.len() > 1 || LOOSE.contains(&phrase[0]);
        if starts(lower, phrase) && (loose || set_off()) {
            return Some((phrase.len(), *correction));
        }
    }
    // `Hello Kim,` and `Thanks,`: greetings end with a comma or with the clause.
    if !lower.first().is_some_and(|word| is_greeting(word)) {
        return None;
    }
    let courteous = lower.iter().take_while(|word| is_greeting(word) || is_greeted(word)).count();
    let last = words.get(courteous - 1)?;
    let ends =
        words.get(courteous).is_none_or(|next| text[last.end()..next.start].contains([',', '!', '.', '-']));
    let name =
        words.get(courteous).filter(|next| next.is_capitalised() && text[next.end()..].starts_with(','));
    match (ends, name) {
        (true, _) => Some((courteous, false)),
        (false, Some(_)) => Some((courteous + 1, false)),
        (false, None)
            if matches!(
                lower[0],
                "please" | "hi" | "hello" | "hey" | "well" | "ok" | "okay" | "so" | "oh"
            ) =>
        {
            Some((1, false))
        }
        _ => None,
    }
}

/// Single words that lead up to something also without a mark behind them.
const LOOSE: &[&str] = &["actually", "sorry", "also", "and", "but", "so", "then", "unfortunately", "fyi"];

const LEADS: &[(&[&str], bool)] = &[
    (&["by", "the", "way"], false),
    (&["just", "so", "you", "know"], false),
    (&["for", "your", "information"], false),
    (&["for", "the", "record"], false),
    (&["for", "your", "records"], false),
    (&["for", "next", "time"], false),
    (&["fyi"], false),
    (&["one", "more", "thing"], false),
    (&["from", "now", "on"], true),
    (&["as", "of", "now"], true),
    (&["as", "of", "today"], true),
    (&["in", "future"], true),
    (&["in", "the", "future"], true),
    (&["going", "forward"], true),
    (&["starting", "today"], true),
    (&["small", "correction"], true),
    (&["a", "correction"], true),
    (&["correction"], true),
    (&["update"], true),
    (&["actually"], true),
    (&["sorry"], true),
    (&["my", "mistake"], true),
    (&["my", "bad"], true),
    (&["i", "was", "wrong"], true),
    (&["i", "made", "a", "mistake"], true),
    (&["i", "meant"], true),
    (&["i", "mean"], true),
    (&["i", "should", "have", "said"], true),
    (&["make", "that"], true),
    (&["rather"], true),
    (&["no", "wait"], true),
    (&["wait"], true),
    (&["no"], true),
    (&["also"], false),
    (&["and"], false),
    (&["but"], false),
    (&["so"], false),
    (&["then"], false),
    (&["yes"], false),
    (&["unfortunately"], false),
    (&["important"], false),
    (&["please", "be", "aware", "that"], false),
    (&["i", "wanted", "to", "let", "you", "know", "that"], false),
    (&["i", "want", "to", "let", "you", "know", "that"], false),
    (&["let", "me", "tell", "you", "that"], false),
    (&["you", "should", "know", "that"], false),
    (&["as", "you", "know"], false),
];

/// `remember that ..`, `please note: ..`, `can you write down that ..`: the words behind.
fn after_remember(text: &str, lower: &[&str], words: &[crate::words::Token<'_>]) -> Option<String> {
    let start = lower
        .iter()
        .take_while(|word| {
            matches!(
                **word,
                "please"
                    | "can"
                    | "could"
                    | "would"
                    | "will"
                    | "you"
                    | "i"
                    | "want"
                    | "need"
                    | "like"
                    | "to"
                    | "also"
                    | "just"
                    | "must"
                    | "should"
                    | "us"
                    | "me"
                    | "let's"
                    | "kindly"
                    | "i'd"
                    | "have"
            )
        })
        .count();
    let mut at = start;
    at += match *lower.get(at)? {
        "remember" | "note" | "record" | "save" | "memorise" | "memorize" | "noted" => 1,
        "keep" if lower.get(at + 1) == Some(&"in") => 3,
        "bear" if lower.get(at + 1) == Some(&"in") => 3,
        "write" | "take" | "make" | "put" => {
            let down = (at + 1..lower.len().min(at + 5))
                .find(|next| matches!(lower[*next], "down" | "note" | "file" | "record"))?;
            down + 1 - at
        }
        _ => return None,
    };
    // `do you remember who ..` asks.
    if start > 0 && lower[..start] == ["you"] || lower.get(at).is_some_and(|word| is_wh(word)) {
        return None;
    }
    let colon = words.get(at).is_some_and(|next| text[words[at - 1].end()..next.start].contains(':'));
    while lower.get(at).is_some_and(|word| {
        matches!(
            *word,
            "that"
                | "this"
                | "of"
                | "for"
                | "down"
                | "please"
                | "future"
                | "reference"
                | "next"
                | "time"
                | "me"
                | "us"
                | "also"
        )
    }) && !colon
    {
        at += 1;
    }
    let rest = words.get(at)?;
    Some(text[rest.start..].to_owned())
}

/// `could you change our phone number to Y`: a statement in the clothes of a request.
fn change_request(text: &str, lower: &[&str]) -> Option<String> {
    let polite = lower
        .iter()
        .take_while(|word| {
            matches!(
                **word,
                "can"
                    | "could"
                    | "would"
                    | "will"
                    | "you"
                    | "please"
                    | "we"
                    | "i"
                    | "need"
                    | "want"
                    | "to"
                    | "like"
                    | "i'd"
                    | "kindly"
            )
        })
        .count();
    let verb = *lower.get(polite)?;
    let changes = is_change(verb) && !verb.ends_with("ed");
    if !changes && verb != "use" {
        return None;
    }
    let owned = lower.get(polite + 1).is_some_and(|word| matches!(*word, "our" | "my" | "the"));
    let to = lower.iter().position(|word| *word == "to" || *word == "until").filter(|at| *at > polite + 2)?;
    let words = tokens(text);
    let value = super::value::kind(&words[to + 1..]);
    if !owned || matches!(value, Kind::Other | Kind::Word) {
        return None;
    }
    let about = text[words[polite + 1].start..words[to - 1].end()].split(" from ").next().unwrap_or_default();
    Some(format!("{about} is now {}", text[words[to + 1].start..].trim_end_matches('?')))
}

fn starts(lower: &[&str], phrase: &[&str]) -> bool {
    lower.len() >= phrase.len() && lower[..phrase.len()] == *phrase
}

/// `what we know is ..` states.
fn is_wh_statement(lower: &[&str]) -> bool {
    lower.first() == Some(&"what") && matches!(lower.get(1), Some(&"we" | &"i")) && lower.contains(&"is")
}

fn is_request(lower: &[&str]) -> bool {
    let begins = |phrase: &[&str]| starts(lower, phrase);
    let me = |verb: &str| lower.first() == Some(&verb) && matches!(lower.get(1), Some(&"me" | &"us"));
    ["tell", "remind", "show", "give", "send", "help", "let"].iter().any(|verb| me(verb))
        || begins(&["i", "need", "to", "know"])
        || begins(&["we", "need", "to", "know"])
        || begins(&["i", "want", "to", "know"])
        || begins(&["i", "would", "like", "to"])
        || begins(&["i'd", "like", "to"])
        || begins(&["i", "wonder"])
        || begins(&["i", "forgot"])
        || begins(&["we", "forgot"])
        || begins(&["i", "am", "looking", "for"])
        || begins(&["i'm", "looking", "for"])
        || begins(&["i", "need", "the"])
        || begins(&["i", "need", "our"])
        || begins(&["i", "need", "help"])
        || begins(&["any", "idea"])
        || begins(&["any", "other"])
        || begins(&["anything", "else"])
        || begins(&["i", "do", "not", "know"])
        || begins(&["i", "don't", "know"])
        || begins(&["i", "don't", "remember"])
        || begins(&["i", "can't", "remember"])
        || begins(&["i", "cannot", "remember"])
        || begins(&["look", "up"])
        || begins(&["explain"])
        || begins(&["list"])
}

/// Words that begin a greeting or thanks.
fn is_greeting(word: &str) -> bool {
    matches!(
        word,
        "hi" | "hello"
            | "hey"
            | "thanks"
            | "thank"
            | "good"
            | "dear"
            | "ok"
            | "okay"
            | "great"
            | "perfect"
            | "cheers"
            | "please"
            | "well"
            | "oh"
            | "sure"
            | "right"
            | "excellent"
            | "fine"
            | "nice"
            | "yes"
            | "super"
            | "morning"
    )
}

/// Words that may follow them.
fn is_greeted(word: &str) -> bool {
    matches!(
        word,
        "you"
            | "morning"
            | "afternoon"
            | "evening"
            | "day"
            | "team"
            | "all"
            | "there"
            | "again"
            | "so"
            | "very"
            | "much"
            | "a"
            | "lot"
            | "everyone"
            | "then"
    )
}

fn is_courtesy(word: &str) -> bool {
    matches!(
        word,
        "hi" | "hello"
            | "hey"
            | "thanks"
            | "thank"
            | "you"
            | "good"
            | "morning"
            | "afternoon"
            | "evening"
            | "day"
            | "bye"
            | "goodbye"
            | "dear"
            | "team"
            | "all"
            | "ok"
            | "okay"
            | "great"
            | "perfect"
            | "cheers"
            | "very"
            | "much"
            | "so"
            | "a"
            | "lot"
            | "please"
            | "nice"
            | "wonderful"
            | "super"
            | "again"
            | "there"
            | "everyone"
            | "for"
            | "your"
            | "the"
            | "help"
            | "that's"
            | "that"
            | "is"
            | "was"
            | "got"
            | "it"
            | "understood"
            | "sounds"
            | "helpful"
            | "regards"
            | "best"
            | "kind"
            | "see"
            | "excellent"
            | "fine"
            | "well"
            | "oh"
            | "sure"
            | "right"
            | "information"
            | "quick"
            | "reply"
            | "answer"
            | "appreciated"
            | "lovely"
    )
}

/// `I have a question`, `it is urgent`, `I hope you are well`.
fn is_opener(lower: &[&str]) -> bool {
    let begins = |phrase: &[&str]| starts(lower, phrase);
    let question = lower.contains(&"question") || lower.contains(&"questions");
    question && lower.len() <= 8
        || begins(&["i", "hope"])
        || begins(&["we", "hope"])
        || begins(&["it", "is", "urgent"])
        || begins(&["this", "is", "urgent"])
        || begins(&["i", "am", "not", "sure"])
        || begins(&["i'm", "not", "sure"])
        || begins(&["i", "am", "confused"])
        || begins(&["it", "would", "be"])
        || begins(&["that", "would", "be"])
        || begins(&["i", "appreciate"])
        || begins(&["i", "think", "so"])
        || lower.len() == 1
}

/// Something does not work as it should.
pub(super) fn is_problem(lower: &[&str]) -> bool {
    lower.iter().any(|word| {
        word.ends_with("n't") && !matches!(*word, "wouldn't" | "shouldn't")
            || *word == "cannot"
            || PROBLEMS.split_whitespace().any(|problem| problem == *word)
    }) || lower.windows(2).any(|pair| {
        matches!(
            pair,
            ["does", "not"]
                | ["do", "not"]
                | ["did", "not"]
                | ["is", "not"]
                | ["are", "not"]
                | ["has", "not"]
                | ["have", "not"]
                | ["will", "not"]
                | ["was", "not"]
                | ["no", "longer"]
                | ["went", "down"]
                | ["is", "down"]
                | ["trouble", "with"]
                | ["keeps", "on"]
                | ["locked", "out"]
                | ["too", "long"]
                | ["too", "slow"]
                | ["is", "late"]
        )
    })
}

const PROBLEMS: &str = "broken fails failed failing error errors problem problems issue trouble stuck crash crashes crashed crashing missing \
    damaged lost blinking blinks flashing flashes beeping beeps leaking leaks jammed jams jam freezes frozen froze faulty defective overdue delayed \
    smells smoking overheats overheating noisy rejected declined refuses refused dead unable";

/// `please deliver to Y`, `always call Kim first`, `use gate 4 from now on`: an order for every time, not for now.
fn is_instruction(text: &str, lower: &[&str]) -> bool {
    let first = lower.first().copied().unwrap_or_default();
    let standing = lower.iter().any(|word| matches!(*word, "always" | "never"))
        || text.to_lowercase().contains("from now on")
        || text.to_lowercase().contains("in future");
    let verb = matches!(
        first,
        "deliver"
            | "ship"
            | "send"
            | "use"
            | "call"
            | "contact"
            | "invoice"
            | "bill"
            | "charge"
            | "forward"
            | "leave"
            | "ring"
            | "email"
            | "always"
            | "never"
            | "ask"
            | "address"
            | "mail"
            | "dispatch"
            | "post"
            | "put"
            | "write"
            | "reach"
    );
    if !verb {
        return false;
    }
    if standing {
        return true;
    }
    let me = lower.get(1).is_some_and(|word| matches!(*word, "me" | "us"));
    let words = tokens(text);
    let place = lower
        .iter()
        .position(|word| matches!(*word, "to" | "at" | "via" | "on" | "with" | "before" | "after" | "only"));
    let value = place.map(|at| super::value::kind(&words[at + 1..]));
    !me && value.is_some_and(|kind| !matches!(kind, Kind::Other))
}

fn is_imperative(first: &str) -> bool {
    matches!(
        first,
        "reset"
            | "cancel"
            | "change"
            | "update"
            | "book"
            | "order"
            | "send"
            | "check"
            | "open"
            | "close"
            | "extend"
            | "renew"
            | "refund"
            | "return"
            | "replace"
            | "register"
            | "unlock"
            | "activate"
            | "add"
            | "remove"
            | "delete"
            | "track"
            | "find"
            | "call"
            | "fix"
            | "repair"
            | "install"
            | "schedule"
            | "arrange"
            | "confirm"
            | "resend"
            | "stop"
            | "start"
            | "restart"
            | "connect"
            | "help"
            | "get"
            | "print"
            | "transfer"
            | "request"
            | "upgrade"
            | "pay"
            | "ship"
            | "deliver"
    )
}
