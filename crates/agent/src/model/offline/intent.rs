//! What a clause wants: to be remembered, to be answered, to be helped, or nothing at all.
//!
//! The rules are tried in a fixed order and look at the first words, the last mark and a few set phrases.
//! Reports of attempts are read before, by the plan, which is the only caller.

use super::lead::{after_remember, change_request, starts, strip_lead};
use super::sentence::{Clause, asks_with_verb, is_wh, starts_question};
use super::subject::fact;
use super::terms::lowers;
use super::value::{Kind, kind};
use super::verbs::has_verb;
use super::vocabulary::listed;
use crate::words::{Token, is_stop_word, tokens};

/// What a clause wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// A question about a fact.
    Ask,
    /// A question for a procedure.
    HowTo,
    /// A request for the next step.
    Help,
    /// A statement: the words without what leads up to them, whether it corrects an earlier one, and whether
    /// it was asked to be kept.
    Tell { text: String, corrects: bool, keep: bool },
    /// A problem was described.
    Problem,
    /// Words without a verb: a question if nothing else in the message is one.
    Fragment,
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
    if lower.first() == Some(&"not") && stripped.contains(',') {
        // `Not the 12th, the 14th.`
        return Intent::Tell { text: stripped.to_owned(), corrects: true, keep: false };
    }
    let Some(first) = lower.first().copied() else {
        return if tokens(&clause.text).is_empty() { Intent::Nothing } else { Intent::Smalltalk };
    };
    let tell = |text: String, corrects: bool, keep: bool| Intent::Tell { text, corrects, keep };
    if let Some(text) = after_remember(stripped, &lower, &words) {
        return tell(text, corrects, true);
    }
    if let Some(text) = change_request(stripped, &lower) {
        return tell(text, true, true);
    }
    let exclaims = lower[0] == "what" && matches!(lower.get(1), Some(&"a" | &"an")) && !clause.asked;
    let by_word = starts_question(&words, true, true) && !is_wh_statement(&lower) && !exclaims;
    if clause.asked || by_word || asks_with_verb(&words) || is_request(&lower) || asks_for_others(&lower) {
        return question(&lower);
    }
    if lower.iter().all(|word| listed(COURTESIES, word)) {
        return Intent::Smalltalk;
    }
    // What stands behind `sorry, I meant` is the value alone.
    if corrects && words.len() <= 3 {
        return tell(stripped.to_owned(), true, false);
    }
    if is_next(&lower) {
        return Intent::Help;
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
    if is_problem(&lower) && !corrects {
        return Intent::Problem;
    }
    if is_instruction(stripped, &lower, &words) {
        return tell(stripped.to_owned(), corrects, true);
    }
    if listed(ORDERS, first) {
        return Intent::HowTo;
    }
    let labelled = (stripped.contains(": ") || stripped.contains(" = ")) && fact(stripped).subject.is_some();
    if has_verb(&words) || labelled {
        return tell(stripped.to_owned(), corrects, false);
    }
    let telling =
        words.iter().filter(|word| !is_stop_word(&word.lower) && !word.is_identifier()).count() >= 2;
    if telling && words.iter().any(Token::is_identifier) {
        // `for the lift call Kone on 555-0199`: words around a value.
        return tell(stripped.to_owned(), corrects, true);
    }
    if lower.iter().any(|word| !is_stop_word(word)) { Intent::Fragment } else { Intent::Nothing }
}

fn question(lower: &[&str]) -> Intent {
    let has = |word: &str| lower.contains(&word);
    let any = |list: &str| lower.iter().any(|word| listed(list, word));
    let run = |phrase: &str| runs(lower, phrase);
    let you = has("you") || has("i") && any("speaking talking chatting writing");
    let kinds = any("bot robot human ai chatbot chatgpt llm offline")
        || run("language model")
        || run("real person")
        || run("which model");
    if you && kinds || run("who are you") || run("what are you") && lower.len() <= 5 {
        return Intent::Identity;
    }
    if has("forget") && !any("i we") {
        return Intent::Forget;
    }
    let tried = any("tried attempted") && any("what which") && !has("else");
    if tried || run("did we try") || run("did i try") {
        return Intent::Attempts;
    }
    if is_next(lower) {
        return Intent::Help;
    }
    // `why does it still not ..` wants a way out, not a reason.
    let troubled = has("why") && (has("not") || is_problem(lower));
    if troubled || has("what") && any("tell say answer") && any("him her them") {
        return Intent::Help;
    }
    let somebody = any("i we i've we've he she they one you customer");
    let possible = any("can could should shall do does might must may");
    // The `do` of `what can I do about it`, not the one of `what time do you open`.
    let doing = lower.iter().enumerate().any(|(at, word)| {
        let then = lower.get(at + 1).copied().unwrap_or("now");
        *word == "do"
            && at > 1
            && listed("now about with when if next then to in first after here instead against before", then)
    });
    let acts = doing
        || any("try check suggest recommend advise")
        || run("help with")
        || run("help me")
        || run("help us");
    if acts && any("what anything something how can could") && somebody && possible {
        let told = |word: &&&str| {
            !is_stop_word(word) && !listed("try check suggest recommend advise help first", word)
        };
        // `what should we do with a damaged pallet` asks for a procedure, `what can I try` for a next step.
        return if lower.iter().filter(told).count() == 0 { Intent::Help } else { Intent::HowTo };
    }
    let must = run("have to")
        || run("need to")
        || run("has to")
        || run("should i")
        || run("should we")
        || run("must i")
        || run("must we");
    if must && has("what") && somebody || run("where do i start") || run("how to") {
        return Intent::HowTo;
    }
    let how = has("how") && any("do can should does could would");
    let measure =
        ["much", "many", "long", "often", "far", "soon", "late", "early", "high", "big", "large", "old"];
    let measured = lower.windows(2).any(|pair| pair[0] == "how" && measure.contains(&pair[1]));
    if how && !measured && somebody { Intent::HowTo } else { Intent::Ask }
}

/// `what else`, `any other idea`, `what is left`, `next`: the next step is asked for.
fn is_next(lower: &[&str]) -> bool {
    let run = |phrase: &str| runs(lower, phrase);
    // `what else do you know about X` asks for facts.
    let found = NEXT.split(", ").any(run) && !run("you know") && !run("did i");
    found || lower == ["next"] || lower == ["next", "please"]
}

const NEXT: &str = "what else, anything else, something else, anything more, what now, what next, what is \
    next, what's next, what remains, what is left, what's left, next step, next thing, another step, other \
    step, other steps, further steps, do next, any ideas, any idea, any other idea, other ideas, another \
    idea, any suggestions, other way, how else, and now";

fn runs(lower: &[&str], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    lower.windows(phrase.len()).any(|window| window == phrase)
}

/// `what we know is ..` states.
fn is_wh_statement(lower: &[&str]) -> bool {
    let subordinate = listed("when where which who whose", lower[0]) && lower.len() > 1;
    let states =
        lower.first() == Some(&"what") && matches!(lower.get(1), Some(&"we" | &"i")) && lower.contains(&"is");
    // `when the office is open` alone is half a sentence; `when does it open` asks.
    let unasked = subordinate
        && listed("the our my it they he she we i a", lower[1])
        && lower[0] != "who"
        && lower[0] != "which";
    states || unasked
}

/// `tell me ..`, `I need the ..`, `I forgot ..`.
fn is_request(lower: &[&str]) -> bool {
    let plain: Vec<&str> = lower
        .iter()
        .copied()
        .filter(|word| !listed("also just still now really again please quickly only", word))
        .collect();
    let begins = |phrase: &str| starts(&plain, &phrase.split(' ').collect::<Vec<_>>());
    let me = plain.len() > 2
        && listed("me us", plain[1])
        && listed("tell remind show give send help let read", plain[0]);
    let back_to_me = plain.first() == Some(&"read") && plain.contains(&"me");
    let thing = |phrase: &str| {
        let next = plain.get(phrase.split(' ').count());
        begins(phrase) && next.is_some_and(|next| listed("the our my its his her their a an help", next))
    };
    me || back_to_me || ASKING.split(", ").any(begins) || NEEDING.split(", ").any(thing)
}

const ASKING: &str = "i need to know, we need to know, i want to know, i would like to know, i'd like to \
    know, i wonder, i forgot, we forgot, i have forgotten, i've forgotten, any idea, i do not know, i don't \
    know, i don't remember, i do not remember, i can't remember, i cannot remember, look up, explain, list, \
    repeat, remind me";

const NEEDING: &str =
    "i need, we need, i want, we want, i'm looking for, i am looking for, i'll need, looking for";

/// `the courier needs the serial ..`, `she asks for the name ..`, `a driver wants to know which ..`.
fn asks_for_others(lower: &[&str]) -> bool {
    wanted_by_others(lower).is_some()
}

/// Where the words begin that somebody else asks for.
pub(super) fn wanted_by_others(lower: &[&str]) -> Option<usize> {
    let verb = (1..lower.len().min(8))
        .find(|at| listed("wants want asks ask asked needs need require requires", lower[*at]))?;
    if listed("i we you to not don't doesn't", lower[verb - 1]) {
        return None;
    }
    let rest = &lower[verb + 1..];
    let after = |phrase: &str| starts(rest, &phrase.split(' ').collect::<Vec<_>>());
    let skip = match () {
        () if after("to know") => 2,
        () if after("to have") || after("to see") || after("to hear") => 2,
        () if after("me for") || after("us for") => 2,
        () if after("for") || after("about") || after("me") || after("us") => 1,
        () => 0,
    };
    let next = rest.get(skip)?;
    let from_me = lower.windows(2).any(|pair| pair[0] == "from" && listed("me us", pair[1]));
    let thing = listed("the our its his her their my", next) || is_wh(next) || from_me;
    (thing && rest.len() > skip + 1).then_some(verb + 1 + skip)
}

/// `I have a question`, `it is urgent`, `I hope you are well`.
fn is_opener(lower: &[&str]) -> bool {
    let question = lower.contains(&"question") || lower.contains(&"questions");
    let opens = OPENERS.split(", ").any(|phrase| starts(lower, &phrase.split(' ').collect::<Vec<_>>()));
    question && lower.len() <= 8 || opens || lower.len() == 1 || lower[0] == "what"
}

const OPENERS: &str = "i hope, we hope, it is urgent, this is urgent, i am not sure, i'm not sure, i am \
    confused, it would be, that would be, i appreciate, i think so, i should like, i would like to, i'd \
    like to, hang on, hold on, one moment";

/// Something does not work as it should.
pub(super) fn is_problem(lower: &[&str]) -> bool {
    let lower: Vec<&str> =
        lower.iter().copied().filter(|word| !listed("also yet just really always even", word)).collect();
    let plain: Vec<&str> = lower.iter().copied().filter(|word| *word != "still").collect();
    let negated =
        |pair: &[&str]| listed("does do did is are has have will was were can", pair[0]) && pair[1] == "not";
    if plain.windows(2).any(negated) {
        return true;
    }
    lower.iter().any(|word| {
        (word.ends_with("n't") && !listed("wouldn't shouldn't", word))
            || *word == "cannot"
            || listed(PROBLEMS, word)
    }) || lower.windows(2).any(|pair| {
        let lacking = listed("has have get gets with but shows reads gives makes prints is", pair[0])
            && pair[1] == "no";
        let stuck = listed("stays stay remains remain stayed is are still", pair[0])
            && listed(
                "cold dark empty red black off closed locked silent blank grey dead down late blind shut",
                pair[1],
            );
        let other = matches!(
            pair,
            ["went", "down"]
                | ["trouble", "with"]
                | ["keeps", "on"]
                | ["locked", "out"]
                | ["too", "long"]
                | ["too", "slow"]
                | ["nothing", "happens" | "comes" | "works" | "moves"]
                | ["comes" | "come", "out"]
        );
        lacking || stuck || other
    })
}

/// `please deliver to Y`, `always call Kim first`, `use gate 4 from now on`: an order for every time, not for
/// now.
fn is_instruction(text: &str, lower: &[&str], words: &[Token<'_>]) -> bool {
    let first = lower.first().copied().unwrap_or_default();
    if !listed(STANDING, first) {
        return false;
    }
    let folded = text.to_lowercase();
    if listed("always never", first)
        || folded.contains("from now on")
        || folded.contains("in future")
        || lower.contains(&"always")
    {
        return true;
    }
    let me = lower.get(1).is_some_and(|word| listed("me us", word));
    let place = lower.iter().position(|word| listed("to at via on with before after only", word));
    let value = place.map(|at| kind(&words[at + 1..]));
    !me && value.is_some_and(|kind| kind != Kind::Other)
}

const STANDING: &str = "deliver ship send use call contact invoice bill charge forward leave ring email \
    always never ask address mail dispatch post put write reach";

const ORDERS: &str = "reset cancel change update book order send check open close extend renew refund \
    return replace register unlock activate add remove delete track find call fix repair install schedule \
    arrange confirm resend stop start restart connect help get print transfer request upgrade pay ship \
    deliver";

const COURTESIES: &str = "hi hello hey thanks thank you good morning afternoon evening day bye goodbye dear \
    team all ok okay great perfect cheers very much so a lot please nice wonderful super again there \
    everyone for your the help that's that is was got it understood sounds helpful regards best kind see \
    excellent fine well oh sure right information quick reply answer appreciated lovely phew thx ta weekend \
    week have this brilliant star are";

const PROBLEMS: &str = "broken fails failed failing error errors problem problems issue trouble stuck crash \
    crashes crashed crashing missing damaged lost blinking blinks flashing flashes beeping beeps leaking \
    leaks jammed jams jam freezes frozen froze faulty defective overdue delayed smells smoking overheats \
    overheating noisy rejected declined refuses refused dead unable hang hangs hanging hung blank howls \
    howling silent blind squeaks rattles drips dripping forgotten";
