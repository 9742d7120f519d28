//! Reports of what somebody tried and how it went.
//!
//! A clause can name an action (`I restarted it`), an outcome (`it did not help`), or both; an outcome alone
//! belongs to the actions before it, in the message or among the steps that were suggested last. The plan
//! reads reports, the choice of answers compares steps with them.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::terms::{Bag, Term, coverage, lowers, terms};
use super::vocabulary::{listed, name};
use crate::words::{Token, stem, tokens};

/// How an attempt went, in the words of the tool that notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    Worked,
    Failed,
    Unknown,
}

impl Went {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Worked => "worked",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) action: String,
    pub(super) went: Went,
}

/// What a clause reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// Actions, with their outcome if the clause names it. `sure` is false for verbs that are as often no
    /// attempt.
    Tried { actions: Vec<String>, went: Went, sure: bool },
    /// Only an outcome, of what was tried before.
    Ended { went: Went, of: Of },
}

/// What an outcome alone speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// `that did not help`
    That,
    /// `none of these helped`
    All,
    /// `it still does not work`: the trouble goes on, whatever was tried.
    Trouble,
}

/// Reads a clause as a report; `None` when it is none. `outcome_follows` says that the next clause is an
/// outcome, which makes an attempt of any act; `going_on` that attempts were told just before, so that
/// `opened the hatch too` is one more.
pub(super) fn report(clause: &str, outcome_follows: bool, going_on: bool) -> Option<Report> {
    let words = tokens(clause);
    let lower = lowers(&words);
    let outcome = outcome(&lower);
    let end = outcome.as_ref().map_or(lower.len(), |found| found.0);
    let went = outcome.map_or(Went::Unknown, |found| found.1);
    let known = went != Went::Unknown || outcome_follows;
    if let Some((begin, sure)) = action(&lower[..end], known, going_on) {
        let actions = split_actions(clause, &words[begin..end.max(begin)]);
        if !actions.is_empty() {
            return Some(Report::Tried { actions, went, sure: sure || known });
        }
    }
    match went {
        Went::Unknown => None,
        went => refers_back(&lower, end).map(|of| Report::Ended { went, of }),
    }
}

/// Where the words about the outcome begin, and what they say.
fn outcome(lower: &[&str]) -> Option<(usize, Went)> {
    let found = |phrases: &str| {
        let places = phrases.split(", ").filter_map(|phrase| {
            let phrase: Vec<&str> = phrase.split_ascii_whitespace().collect();
            lower.windows(phrase.len()).position(|window| window == phrase)
        });
        places.min()
    };
    // A negation decides: `did not work` holds `work` too.
    if let Some(at) = found(FAILED) {
        return Some((subject_before(lower, at), Went::Failed));
    }
    if lower.len() > 2 && lower.last() == Some(&"nothing") {
        return Some((lower.len() - 1, Went::Failed));
    }
    if let Some(at) = lower.iter().position(|word| *word == "still") {
        let trouble = lower[at..].iter().any(|word| word.contains("n't") || listed(NOT_GOOD, word));
        if trouble {
            return Some((subject_before(lower, at), Went::Failed));
        }
    }
    found(WORKED).map(|at| (subject_before(lower, at), Went::Worked))
}

/// Takes the subject of an outcome along: `it did not help`, `the error is still there`.
fn subject_before(lower: &[&str], at: usize) -> usize {
    let mut at = at;
    while at > 0 && listed("is was there has have and but also just really so made either", lower[at - 1]) {
        at -= 1;
    }
    // In `restarting it did not help` the pronoun belongs to the act.
    let object = at > 1 && is_act(lower[at - 2]);
    if at > 0
        && !object
        && listed("it that this which nothing problem error issue they everything all", lower[at - 1])
    {
        at -= 1;
        while at > 0 && listed("the same but and that of", lower[at - 1]) {
            at -= 1;
        }
    }
    at
}

/// Where the action begins, and whether it is surely an attempt.
fn action(lower: &[&str], known: bool, going_on: bool) -> Option<(usize, bool)> {
    if let Some(at) = lower.iter().position(|word| matches!(*word, "tried" | "trying" | "attempted")) {
        let somebody = at == 0 || lower[..at].iter().any(|word| is_somebody(word));
        let fillers =
            lower[at + 1..].iter().take_while(|word| listed("to already out just also", word)).count();
        let begin = at + 1 + fillers;
        return (somebody && begin < lower.len()).then_some((begin, true));
    }
    if let Some(at) = lower.iter().position(|word| *word == "after" || *word == "despite")
        && lower.get(at + 1).is_some_and(|word| word.ends_with("ing") && is_act(word))
    {
        return Some((at + 1, true));
    }
    let first = lower.first()?;
    if first.ends_with("ing")
        && first.len() > 4
        && (known || is_act(first))
        && !listed("nothing anything something everything", first)
    {
        return Some((0, true));
    }
    // `A restart did not help`, `The reset ..`: a noun that is an act, with its outcome behind it.
    if known && listed("a the another even", first) && lower.len() <= 5 {
        let act = lower.iter().position(|word| SURE_ACTS.contains(&stem(word)));
        return act.map(|_| (0, true));
    }
    // `I have already restarted it`, and where people leave themselves out: `restarted it, no luck`.
    let somebody = lower.iter().position(|word| is_somebody(word));
    let behind = somebody.map_or(0, |at| at + 1);
    let reach = behind..lower.len().min(behind + 5);
    let verb = { reach }.find(|at| {
        let word = lower[*at];
        let past = word.ends_with("ed") && word.len() > 3 || listed(IRREGULAR, word);
        !is_filler(word) && past && (known || is_act(word))
    })?;
    let between = &lower[behind..verb];
    if !between.iter().all(|word| is_filler(word)) || (somebody.is_none() && !known && !going_on) {
        return None;
    }
    let sure = between.contains(&"already") || SURE_ACTS.contains(&stem(lower[verb]));
    Some((verb, sure))
}

fn is_somebody(word: &str) -> bool {
    listed(
        "i we i've we've he she they they've colleague technician someone somebody customer caretaker \
            driver member reader",
        word,
    )
}

fn is_filler(word: &str) -> bool {
    listed("have has had already just also then even both now twice did and first so still only", word)
}

fn is_act(word: &str) -> bool {
    let stem = stem(word);
    ACTS.contains(&stem) || SURE_ACTS.contains(&stem)
}

/// Cuts the words of an action into single actions: `restarted it and cleaned the lens` are two.
fn split_actions(clause: &str, words: &[Token<'_>]) -> Vec<String> {
    let mut actions = Vec::new();
    let mut start = 0;
    for at in 1..words.len() {
        let joint = matches!(words[at].lower.as_str(), "and" | "then" | "or");
        let comma = clause[words[at - 1].end()..words[at].start].contains(',');
        let next = if joint { at + 1 } else { at };
        let fillers = words[next.min(words.len())..]
            .iter()
            .take_while(|word| is_filler(&word.lower) || word.lower == "to")
            .count();
        let next = next + fillers;
        let past = |word: &Token<'_>| {
            word.lower.len() > 3 && word.lower.ends_with("ed") || listed(IRREGULAR, &word.lower)
        };
        let both_past = words.get(next).is_some_and(past) && words.get(start).is_some_and(past);
        let again = words.get(next).is_some_and(|word| matches!(word.lower.as_str(), "tried" | "attempted"));
        let next = next + usize::from(again);
        let new_act = again || both_past || words.get(next).is_some_and(|word| is_act(&word.lower));
        if (joint || comma) && new_act {
            actions.extend(action_text(clause, &words[start..at]));
            start = next;
        }
    }
    actions.extend(action_text(clause, words.get(start..).unwrap_or_default()));
    actions
}

fn action_text(clause: &str, words: &[Token<'_>]) -> Option<String> {
    let edges = "already again twice too also and but just yesterday today now times first then several \
        many even which with as well so either both";
    let edge = |word: &&Token<'_>| listed(edges, &word.lower);
    let skip = words.iter().take_while(edge).count();
    let words = &words[skip..];
    let keep = words.len() - words.iter().rev().take_while(edge).count();
    let (first, last) = (words.first()?, words[..keep].last()?);
    let text = &clause[first.start..last.end()];
    (!terms(text).is_empty()).then(|| text.to_owned())
}

/// An outcome alone speaks of something before it only when its subject is a pronoun, the trouble, or nothing
/// at all.
fn refers_back(lower: &[&str], at: usize) -> Option<Of> {
    let early = &lower[..lower.len().min(4)];
    if early.iter().any(|word| listed("none neither nothing both these those all any everything they", word))
    {
        return Some(Of::All);
    }
    if lower.contains(&"still") {
        return Some(Of::Trouble);
    }
    let before = lower[..at]
        .iter()
        .filter(|word| !is_filler(word) && !listed("but and unfortunately sadly no yes the of", word))
        .count();
    let pronoun = early.iter().any(|word| listed("that this it which", word));
    (before == 0 || pronoun).then_some(Of::That)
}

/// Whether a step of an instruction is the same as something that was tried.
pub(super) fn same_action(tried: &str, step: &str) -> bool {
    let wanted: Vec<Term> =
        terms(tried).into_iter().filter(|term| !listed(CIRCUMSTANCES, &term.stem)).collect();
    if wanted.is_empty() {
        return false;
    }
    let bag = Bag::of(step);
    let acts = || {
        wanted.iter().filter(|term| {
            ACTS.contains(&term.stem) || SURE_ACTS.contains(&term.stem) || is_act_concept(term)
        })
    };
    let act_covered = acts().next().is_none() || acts().any(|term| term.covered_by(&bag) > 0.0);
    // `tried another cable` names no act: then the thing alone decides.
    let enough = if acts().next().is_none() { 0.5 } else { 0.6 };
    coverage(&wanted, &bag, None) >= enough && act_covered
}

fn is_act_concept(term: &Term) -> bool {
    term.concepts().iter().any(|concept| {
        listed("restart reset replace install update remove connect unplug clean", name(*concept))
    })
}

/// How often and when it was tried says nothing about what. These are stems.
const CIRCUMSTANCES: &str = "twic tim time minut minute morning yesterday today second hour complet \
    complete whol again ful fully thre three properly briefly";

const FAILED: &str = "did not, didn't, does not, doesn't, do not, don't, has not, hasn't, have not, \
    haven't, was not, wasn't, won't, can't, cannot, no luck, no effect, no difference, no change, no \
    success, no improvement, no better, no use, no help, no joy, no result, nothing changed, nothing \
    happened, nothing helped, nothing worked, nothing changes, nothing happens, nothing works, without \
    success, without luck, without effect, without result, without any, in vain, to no avail, failed, \
    fails, same error, same problem, same result, same message, same issue, same thing, still the same, \
    neither helped, neither worked, none helped, none worked, made it worse, did nothing, isn't, is not, \
    none of, neither of, remains, persists, came back, comes back, is back";

const WORKED: &str = "worked, helped, fixed, solved, did the trick, works now, works again, working again, \
    working now, is gone, is fixed, is solved, resolved, now works, it works";

/// What comes after `still` when something did not get better.
const NOT_GOOD: &str = "not the there same broken fails failing no blinks blinking shows showing happens \
    red error nothing stuck offline slow down dark cold leaking leaks beeping beeps says jams jammed dead \
    locked refuses get gets see hangs blank reads closed howls";

/// Past forms that do not end in `ed`.
const IRREGULAR: &str = "reset put took held ran did set cut bled shut went made let quit gave got bought \
    brought found sent wrote read drew threw wound swung spoke rang blew shook tore left taken written \
    given gone done";

/// Acts that nobody reports but as an attempt.
const SURE: &str = "restart reboot reset reinstall unplug replug recharge reconnect disconnect descale \
    recalibrate calibrate refresh reload repair re-pair clean wipe rinse flush tighten troubleshoot retry \
    reseat re-seat reinsert resync sync power-cycle bleed shake clear tap";

/// Acts that are attempts in a report and something else elsewhere.
const OTHERS: &str = "turn switch install update upgrade replace swap check plug connect pair charge delete \
    remove open close log sign change cycle adjust move test wait press push empty refill verify format \
    download enter type scan print call contact run set put take hold lower raise increase reduce fill load \
    select rotate lubricate dry inspect unlock lock enable disable request ask uninstall configure follow \
    leave drain power warm cool insert eject click quit free look tick scratch scrape authorise rename \
    return borrow spread shift pull";

static SURE_ACTS: LazyLock<HashSet<String>> = LazyLock::new(|| SURE.split_whitespace().map(stem).collect());
static ACTS: LazyLock<HashSet<String>> = LazyLock::new(|| OTHERS.split_whitespace().map(stem).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_again_in_other_words() {
        assert!(same_action(
            "restarting the scanner",
            "Restart the scanner and wait until the light is green"
        ));
        assert!(same_action("turned it off and on again", "Restart the device."));
        assert!(same_action("rebooted the router twice", "Reboot the router."));
        assert!(!same_action("restarting the scanner", "Clean the lens of the scanner with a dry cloth"));
        assert!(!same_action("checked the network cable", "Check the paper tray."));
    }
}
