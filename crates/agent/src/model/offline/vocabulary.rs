//! The vocabulary of support conversations: words that mean the same, and words that mean little.
//!
//! A concept is a group of words; a word may belong to several. The table holds general English for any
//! support desk and no customer's names, products or values. The other files of the offline model ask it for
//! the concepts of a stem.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::words::stem;

/// A group of words that mean the same, by its position in the table.
pub(super) type Concept = u16;

/// The concepts of a stem, the most usual one first; none for a word of no group.
pub(super) fn concepts(stem: &str) -> &'static [Concept] {
    CONCEPTS.get(stem).map_or(&[], Vec::as_slice)
}

/// The first word of a concept: its name in subjects.
pub(super) fn name(concept: Concept) -> &'static str {
    GROUPS.get(usize::from(concept)).and_then(|group| group.split_whitespace().next()).unwrap_or_default()
}

/// The words of a concept, to widen a search.
pub(super) fn members(concept: Concept) -> impl Iterator<Item = &'static str> {
    GROUPS.get(usize::from(concept)).copied().unwrap_or_default().split_whitespace()
}

/// The concept whose first word this is.
pub(super) fn concept(first: &str) -> Option<Concept> {
    let at = GROUPS.iter().position(|group| group.split_whitespace().next() == Some(first))?;
    Concept::try_from(at).ok()
}

/// Whether a list of words, written with spaces between them, holds a word.
pub(super) fn listed(list: &str, word: &str) -> bool {
    // Most words are in no list, and a plain search says so fastest.
    list.contains(word) && list.split_ascii_whitespace().any(|listed| listed == word)
}

/// Words that appear in half of all messages and tell little about their subject.
pub(super) fn is_weak(stem_of_word: &str) -> bool {
    WEAK.contains(stem_of_word)
}

static CONCEPTS: LazyLock<HashMap<String, Vec<Concept>>> = LazyLock::new(|| {
    let mut map: HashMap<String, Vec<Concept>> = HashMap::new();
    for (at, group) in (0..).zip(GROUPS) {
        for word in group.split_whitespace() {
            let found = map.entry(stem(word)).or_default();
            if !found.contains(&at) {
                found.push(at);
            }
        }
    }
    map
});

static WEAK: LazyLock<std::collections::HashSet<String>> =
    LazyLock::new(|| WEAK_WORDS.split_whitespace().map(stem).collect());

/// Several words that stand for one, with up to two other words in between: `switch the thing off and on`.
/// The longer of two that begin alike stands first.
pub(super) const PHRASES: &[(&[&str], &str)] = &[
    (&["turn", "off", "and", "on"], "restart"),
    (&["turn", "off", "on"], "restart"),
    (&["switch", "off", "and", "on"], "restart"),
    (&["switch", "off", "on"], "restart"),
    (&["power", "off", "and", "on"], "restart"),
    (&["power", "off", "on"], "restart"),
    (&["look", "after"], "manager"),
    (&["in", "charge"], "manager"),
    (&["take", "care"], "manager"),
    (&["deal", "with"], "manager"),
    (&["point", "of", "contact"], "contact"),
    (&["get", "in", "touch"], "contact"),
    (&["get", "hold"], "contact"),
    (&["off", "and", "on"], "restart"),
    (&["off", "then", "on"], "restart"),
    (&["power", "cycle"], "restart"),
    (&["log", "in"], "login"),
    (&["log", "on"], "login"),
    (&["sign", "in"], "login"),
    (&["sign", "on"], "login"),
    (&["run", "out"], "expire"),
    (&["come", "to", "end"], "expire"),
    (&["give", "back"], "return"),
    (&["send", "back"], "return"),
    (&["bring", "back"], "return"),
    (&["hand", "back"], "return"),
    (&["money", "back"], "refund"),
    (&["set", "up"], "install"),
    (&["pick", "up"], "collect"),
    (&["drop", "off"], "delivery"),
    (&["show", "up"], "arrive"),
    (&["get", "in"], "door"),
    (&["let", "in"], "door"),
    (&["sort", "out"], "repair"),
    (&["call", "off"], "cancel"),
    (&["put", "off"], "postpone"),
    (&["stand", "in"], "deputy"),
    (&["fill", "in"], "deputy"),
    (&["post", "code"], "address"),
    (&["zip", "code"], "address"),
    (&["up", "to"], "maximum"),
    (&["e", "mail", "address"], "email"),
    (&["email", "address"], "email"),
    (&["mail", "address"], "email"),
    (&["e", "mail"], "email"),
    (&["wi", "fi"], "wifi"),
];

/// Concepts of which one is said where the other is not true.
pub(super) const OPPOSITES: &[(&str, &str)] =
    &[("open", "close"), ("start", "expire"), ("borrow", "return"), ("budget", "minimum")];

// One group a line. The first word names the concept; a word of several groups lists its usual one first.
#[rustfmt::skip]
const GROUPS: &[&str] = &[
    // People and roles.
    "manager manage responsible handle oversee supervise representative rep advisor adviser handler",
    "contact reach counterpart manager",
    "deputy substitute backup cover standin",
    "technician engineer mechanic fitter repairman installer",
    "employee colleague staff coworker worker",
    "customer client",
    "company firm business organisation organization",
    "boss supervisor head director chief",
    "accountant bookkeeper finance",
    "team department crew group",
    "approve approval approver authorise authorize sign-off release",
    // Reaching somebody.
    "phone telephone mobile cellphone call ring dial hotline extension",
    "email mail mailbox inbox e-mail",
    "name call title",
    "language speak",
    // Goods on their way.
    "delivery deliver ship shipment shipping parcel package dispatch consignment send freight goods",
    "carrier courier haulier forwarder shipper ship",
    "address location street destination place site situated based located move relocate town city village",
    "arrive arrival come visit due reach",
    "collect collection pickup fetch",
    "order purchase buy bought po",
    "stock inventory available availability",
    "warehouse depot storage stockroom store",
    "office premises branch headquarters hq",
    "door gate entrance entry enter access ramp dock",
    "late delay delayed overdue behind",
    "return exchange",
    "damaged damage broken cracked dented defective",
    "tracking track trace",
    // Money.
    "invoice bill billing",
    "pay payment paid settle transfer instalment",
    "price cost fee rate charge tariff amount sum",
    "fine penalty fee",
    "refund reimburse reimbursement compensation credit",
    "discount rebate reduction",
    "budget limit cap ceiling maximum threshold allowance most largest biggest highest",
    "deposit security",
    "bank iban",
    // Contracts.
    "contract agreement subscription plan lease",
    "licence license seat",
    "renew renewal extend extension prolong",
    "expire expiry end terminate finish",
    "cancel cancellation termination revoke",
    "start begin commence commencement",
    "warranty guarantee",
    "notice",
    "claim complaint complain",
    "deadline cutoff",
    // Time.
    "time date day when hour o'clock",
    "open opening",
    "close closing shut closed",
    "appointment meeting visit booking slot reservation",
    "postpone reschedule defer delay",
    "reminder remind notification notify alert",
    "holiday vacation leave absence",
    "schedule timetable rota",
    // Machines and software.
    "restart reboot",
    "reset",
    "repair fix solve resolve mend",
    "replace swap exchange substitute replacement",
    "install installation setup",
    "update upgrade firmware patch",
    "remove delete uninstall clear erase wipe",
    "connect connection pair link attach reconnect pairing",
    "unplug disconnect",
    "clean cleaning wipe rinse",
    "battery charge charger charging",
    "machine device unit appliance equipment hardware",
    "network wifi wireless wlan internet router",
    "password passcode passphrase credential",
    "code pin combination",
    "login signin logon",
    "user username",
    "key fob badge token tag",
    "screen display monitor",
    "light led lamp",
    "noise sound loud",
    "heat heating warm warmth radiator boiler",
    "cold cool",
    "temperature degree celsius",
    "water leak leaking drip",
    "power electricity",
    "cable cord wire lead",
    "printer print printing",
    "label sticker",
    "scanner scan reader",
    "paper sheet",
    "software program programme app application",
    "website portal site page web",
    "version release",
    "serial",
    "spare part",
    "error fault failure malfunction fail",
    "broken defective faulty",
    "slow lag",
    // Facts about things.
    "number id identifier reference ref",
    "count many quantity number total",
    "borrow lend loan",
    "book title copy",
    "flat apartment room",
    "prefer preference favourite favorite preferred",
    "allow permit allowed permitted may",
    "minimum least",
    "size dimension",
    "emergency urgent urgency",
    "rule policy regulation",
    "document form file",
    "laboratory lab",
    "administrator admin",
    "photo photograph picture image",
    "examination exam test check",
];

const WEAK_WORDS: &str = "customer support question thing way work need want give make find take new \
    current right correct exact detail details information info long much many good possible happen go put \
    keep people person company team look problem issue trouble case now back anyone somebody goods usually \
    normally general also everyone mean repeat quote hand paperwork note notes say said tell told ask asked \
    number name time day date help use using new newest latest registered file record records agreed \
    recorded noted mentioned currently today check show";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_group_share_a_concept() {
        for (one, other) in [("shipment", "deliveries"), ("rebooted", "restart"), ("invoice", "billing")] {
            let shared = concepts(&stem(one)).iter().any(|c| concepts(&stem(other)).contains(c));
            assert!(shared, "{one} and {other}");
        }
    }

    #[test]
    fn a_first_word_names_one_concept() {
        let mut names: Vec<_> = (0..GROUPS.len()).map(|at| name(at as Concept)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "two groups begin with the same word");
    }
}
