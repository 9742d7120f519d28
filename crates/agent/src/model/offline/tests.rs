//! The rules of the offline model, table by table.

use super::attempt::{Report, Went, report};
use super::intent::{Intent, intent};
use super::sentence::{Clause, clauses};
use super::subject::fact;

fn cut(message: &str) -> Vec<String> {
    clauses(message).into_iter().map(|clause| clause.text).collect()
}

#[test]
fn a_message_is_cut_into_clauses() {
    let table: &[(&str, &[&str])] = &[
        ("Our manager is Lena. Who is yours?", &["Our manager is Lena", "Who is yours"]),
        ("Our manager is Lena and the PO number is 4711.", &["Our manager is Lena", "the PO number is 4711"]),
        ("The scanner and the printer are in Leeds.", &["The scanner and the printer are in Leeds"]),
        ("I restarted it and it still does not work", &["I restarted it", "it still does not work"]),
        ("I tried X, what else can I try?", &["I tried X", "what else can I try"]),
        (
            "Who is our manager and when does the contract end?",
            &["Who is our manager", "when does the contract end"],
        ),
        ("If the light is red, what should I do?", &["If the light is red, what should I do"]),
        ("Call Mr. Ode at 18:30. Code AB-12.3 is new", &["Call Mr. Ode at 18:30", "Code AB-12.3 is new"]),
        ("The version is 2.4.1. It is old.", &["The version is 2.4.1", "It is old"]),
        ("- first line\n- second line", &["first line", "second line"]),
        ("We pay by card, bank transfer and cash.", &["We pay by card, bank transfer and cash"]),
        ("Thanks, our new address is Elm Road 9.", &["Thanks", "our new address is Elm Road 9"]),
        ("I cleaned the lens but nothing changed.", &["I cleaned the lens", "nothing changed"]),
        ("No, it is Y, not X.", &["No, it is Y, not X"]),
        ("Hello", &["Hello"]),
        ("...", &[]),
    ];
    for (message, expected) in table {
        assert_eq!(cut(message), *expected, "{message}");
    }
}

fn reads(text: &str) -> Intent {
    let asked = text.ends_with('?');
    intent(&Clause { text: text.trim_end_matches(['?', '.']).to_owned(), asked })
}

#[test]
fn a_clause_wants_one_thing() {
    type Expected = fn(&Intent) -> bool;
    let table: &[(&str, Expected)] = &[
        ("Who is our account manager?", |i| *i == Intent::Ask),
        ("Tell me our delivery address", |i| *i == Intent::Ask),
        ("What was the PO number again?", |i| *i == Intent::Ask),
        ("How much does express shipping cost?", |i| *i == Intent::Ask),
        ("How long do refunds take?", |i| *i == Intent::Ask),
        ("Do you remember who our manager is?", |i| *i == Intent::Ask),
        ("Can you remind me of the gate code?", |i| *i == Intent::Ask),
        ("How do I reset my password?", |i| *i == Intent::HowTo),
        ("What should we do with a damaged pallet?", |i| *i == Intent::HowTo),
        ("Reset my password", |i| *i == Intent::HowTo),
        ("What else can I try?", |i| *i == Intent::Help),
        ("Any other ideas?", |i| *i == Intent::Help),
        ("What should I do next?", |i| *i == Intent::Help),
        ("What can I do?", |i| *i == Intent::Help),
        ("The scanner does not read barcodes", |i| *i == Intent::Problem),
        ("Our printer keeps jamming, it is stuck", |i| *i == Intent::Problem),
        ("What have we tried so far?", |i| *i == Intent::Attempts),
        ("Are you a human?", |i| *i == Intent::Identity),
        ("What are you?", |i| *i == Intent::Identity),
        ("Thanks a lot", |i| *i == Intent::Smalltalk),
        ("Good morning", |i| *i == Intent::Smalltalk),
        ("I have a question", |i| *i == Intent::Nothing),
        ("Please remember that our manager is Lena", |i| tells(i, "our manager is Lena")),
        ("Please note: PO number 4711", |i| tells(i, "PO number 4711")),
        ("Can you remember that we close at 5", |i| tells(i, "we close at 5")),
        ("For your records, the code is 4711", |i| tells(i, "the code is 4711")),
        ("FYI our office moved to Leeds", |i| tells(i, "our office moved to Leeds")),
        ("Could you change our phone number to 555-2?", |i| tells(i, "our phone number is now 555-2")),
        ("From now on please ship everything to Elm Road 9", |i| tells(i, "ship everything to Elm Road 9")),
        ("PO number: 4711", |i| tells(i, "PO number: 4711")),
        ("Always call Kim before you deliver", |i| tells(i, "Always call Kim before you deliver")),
    ];
    for (text, expected) in table {
        let found = reads(text);
        assert!(expected(&found), "{text}: {found:?}");
    }
}

fn tells(intent: &Intent, words: &str) -> bool {
    matches!(intent, Intent::Tell { text, .. } if text == words)
}

#[test]
fn other_words_have_the_same_subject() {
    let families: &[&[&str]] = &[
        &[
            "our delivery address is Elm Road 9",
            "the delivery address has changed to Elm Road 9",
            "the new shipping address is Elm Road 9",
            "please ship everything to Elm Road 9",
            "deliveries should go to Elm Road 9",
            "we changed our delivery address from Oak Lane 1 to Elm Road 9",
            "address for deliveries: Elm Road 9",
        ],
        &[
            "our account manager is Lena Fischer",
            "Lena Fischer is our new account manager",
            "Lena takes over as our account manager",
            "Lena looks after our account",
            "Lena is responsible for our account",
            "our new account manager will be Lena",
        ],
        &[
            "the contract renews on 1 May",
            "the renewal date of the contract is 1 May",
            "contract renewal date: 1 May",
        ],
        &["we have 40 licences", "we now have 55 licences"],
        &["our warehouse is in Leeds", "we moved our warehouse to Hull", "the warehouse address is Dock 4"],
        &[
            "send invoices to a@b.example",
            "invoices should go to c@d.example",
            "the invoice email is c@d.example",
        ],
        &["my name is Kim", "my name is Ode"],
        &["the meeting is on Friday", "we moved the meeting to Monday"],
        &["our carrier is Swift", "we use Swift as our carrier"],
        &[
            "the PIN for the back gate is 4711",
            "the back gate PIN is now 4712",
            "4713 is the PIN for the back gate",
        ],
    ];
    for family in families {
        let first = fact(family[0]).subject;
        assert!(first.is_some(), "{}", family[0]);
        for text in *family {
            assert_eq!(fact(text).subject, first, "{text}");
        }
    }
}

#[test]
fn other_things_have_other_subjects() {
    let table = [
        ("the invoice number is 4711", "the invoice date is 1 May"),
        ("the delivery date is 1 May", "the delivery address is Elm Road 9"),
        ("the warehouse opens at 7:00", "the warehouse closes at 18:00"),
        ("the PIN for the back gate is 4711", "the PIN for the front gate is 4712"),
        ("our account manager is Lena", "our deputy manager is Kim"),
        ("we have 40 licences", "we have 12 scanners"),
        ("the printer is in room 4", "the printer is broken"),
    ];
    for (one, other) in table {
        assert_ne!(fact(one).subject, fact(other).subject, "{one} / {other}");
    }
    assert_eq!(fact("the printer is broken").subject, None);
}

#[test]
fn reports_of_attempts_are_read() {
    let tried = |text: &str| match report(text, false, false) {
        Some(Report::Tried { actions, went, .. }) => (actions.join(" + "), went),
        Some(Report::Ended { went, .. }) => ("<before>".to_owned(), went),
        None => ("<none>".to_owned(), Went::Unknown),
    };
    let table: &[(&str, &str, Went)] = &[
        ("I already tried restarting the scanner, it did not help", "restarting the scanner", Went::Failed),
        ("I tried to reset the router", "reset the router", Went::Unknown),
        ("We have already cleaned the lens", "cleaned the lens", Went::Unknown),
        (
            "I restarted the printer and cleaned the head",
            "restarted the printer + cleaned the head",
            Went::Unknown,
        ),
        ("Restarting it did not help", "Restarting it", Went::Failed),
        ("Turning it off and on again didn't work", "Turning it off and on", Went::Failed),
        ("it did not help", "<before>", Went::Failed),
        ("That didn't work either", "<before>", Went::Failed),
        ("nothing changed", "<before>", Went::Failed),
        ("no luck", "<before>", Went::Failed),
        ("it still does not work", "<before>", Went::Failed),
        ("the error is still there", "<before>", Went::Failed),
        ("that worked", "<before>", Went::Worked),
        ("it works again", "<before>", Went::Worked),
        ("A restart did not help", "A restart", Went::Failed),
        ("I rebooted it twice without success", "rebooted it", Went::Failed),
        ("our account manager is Lena", "<none>", Went::Unknown),
        ("the scanner does not read barcodes", "<none>", Went::Unknown),
        ("my parcel has not arrived", "<none>", Went::Unknown),
    ];
    for (text, action, went) in table {
        assert_eq!(tried(text), ((*action).to_owned(), *went), "{text}");
    }
}
