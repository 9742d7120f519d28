//! Verbs: the ones that state facts, and a guess at whether some words have one.
//!
//! There is no grammar here, only lists and endings; a wrong guess costs a less exact cut, never a lost
//! message. The cutting of clauses and the reading of facts use it.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::vocabulary::listed;
use crate::words::Token;

/// Whether a word may be the verb of a clause.
pub(super) fn is_verb(lower: &str) -> bool {
    is_copula(lower) || is_helper(lower) || is_fact_verb(lower)
}

/// Whether some words have a verb.
pub(super) fn has_verb(words: &[Token<'_>]) -> bool {
    words.iter().any(|word| {
        let lower = word.lower.as_str();
        is_verb(lower)
            || (lower.len() > 4 && lower.ends_with("ed"))
            || lower.contains("n't")
            || lower == "cannot"
            // The possessive ending is cut off, so what is left of "it's" is told by its raw form.
            || listed("it's that's there's he's she's what's \
                who's", &word.raw.to_lowercase().replace('\u{2019}', "'"))
            || listed("i'm we're they're you're i've we've they've i'd we'd i'll we'll it'll", lower)
    })
}

/// `is`, `are`, `will be`: what stands between a thing and its value.
pub(super) fn is_copula(lower: &str) -> bool {
    listed("is are was were be been becomes became remains stays reads equals", lower)
}

/// Verbs that only help another.
pub(super) fn is_helper(lower: &str) -> bool {
    listed("has have had will would should must can could may might shall do does did am", lower)
}

/// Verbs that say that something has another value now.
pub(super) fn is_change(lower: &str) -> bool {
    CHANGES.contains(lower)
}

/// Main verbs that usually state a fact. Words that are as often nouns (`order`, `call`, `set`) count only in
/// forms that are not.
pub(super) fn is_fact_verb(lower: &str) -> bool {
    FACTS.contains(lower) || (is_change(lower) && !listed("set move change update switch", lower))
}

static CHANGES: LazyLock<HashSet<&str>> = LazyLock::new(|| CHANGE_FORMS.split_whitespace().collect());
static FACTS: LazyLock<HashSet<&str>> = LazyLock::new(|| FACT_FORMS.split_whitespace().collect());

const CHANGE_FORMS: &str = "change changed changes switch switched move moved moves update updated set \
    rename renamed raise raised increase increased reduce reduced lower lowered extend extended postpone \
    postponed reschedule rescheduled transfer transferred shift shifted relocate relocated replace replaced \
    push pushed bring brought correct replaces raises switches extends reduces increases transfers \
    relocates";

const FACT_FORMS: &str = "stay meet need close closes closed open opens opened start starts started begin \
    begins began end ends ended expire expires expired renew renews renewed run runs live lives work works \
    worked use uses used need needs go goes went arrive arrives arrived come comes came belong belongs cost \
    costs take takes took taken contain contains hold holds handle handles manage manages sign signs signed \
    approve approves ordered ship ships shipped deliver delivers delivered pay pays paid prefer prefers \
    want wants hired bought received installed booked scheduled agreed called named looks keep keeps get \
    gets got say says said told leave leaves left stand stands sit sits last lasts hang hangs sends sent \
    accept accepts represent represents speak speaks covers act acts serve serves steps joined join joins \
    reports reported happens happened helps helped fails failed know knows blinks blinking beeps shows \
    appears stays stayed tried reached reaches lets meet meets visit visits hope think see worked rings \
    applies counts allows requires succeeds took supports provides supplies cleans repairs checks calls \
    picks collects brings buys sells owns leads organises organizes teaches moves stores parks sleeps eats \
    drives flies arranges coordinates rents lends borrows expects receives gives";
