//! What the offline model claims, as conversations over the whole way: turn, supervisor, specialist, tools,
//! SQLite.
//!
//! The customers here are made up for this table. Values are arbitrary; the rules may know none of them.

use super::house::House;

/// A session, what is said in it, what the reply must hold, and what it must not.
type Said<'c> = (&'c str, &'c str, &'c [&'c str], &'c [&'c str]);

const NOTHING: &str = "I found nothing about that";

/// Holds a conversation and returns everything that was not as expected.
async fn hold(knowledge: &[(&str, &str)], turns: &[Said<'_>]) -> Vec<String> {
    let house = House::offline();
    for (file, text) in knowledge {
        house.knows("acme", file, text);
    }
    let mut wrong = Vec::new();
    for (session, say, has, lacks) in turns {
        let reply = house.say("acme", session, say).await.unwrap();
        assert_eq!(reply.model, "offline");
        for part in has.iter().filter(|part| !reply.text.contains(**part)) {
            wrong.push(format!("{session}: {say}\n  must hold {part:?}:\n{}\n", reply.text));
        }
        for part in lacks.iter().filter(|part| reply.text.contains(**part)) {
            wrong.push(format!("{session}: {say}\n  must not hold {part:?}:\n{}\n", reply.text));
        }
    }
    wrong
}

fn all_well(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} expectations were not met:\n\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_fact_is_found_in_a_later_session_in_other_words() {
    let table: &[(&str, &str, &str)] = &[
        (
            "Please remember that our account manager is Ilse Quandt.",
            "Who looks after our account?",
            "Ilse Quandt",
        ),
        ("Our account manager is Ilse Quandt.", "Who is our contact person for the account?", "Ilse Quandt"),
        ("FYI, Ilse Quandt handles our account now.", "Who is responsible for our account?", "Ilse Quandt"),
        ("Our delivery address is Tarnweg 8, Osthafen.", "Where do our parcels go?", "Tarnweg 8"),
        ("Note that the delivery address is Tarnweg 8.", "Which address do you ship to?", "Tarnweg 8"),
        ("Our purchase order number is PQ-5512.", "What was our PO number again?", "PQ-5512"),
        ("PO number: PQ-5512", "Can you tell me the purchase order number?", "PQ-5512"),
        ("The contract renews on 2031-03-09.", "When is our contract renewal?", "2031-03-09"),
        ("Our contract ends on 2031-03-09.", "When does our agreement expire?", "2031-03-09"),
        ("We have 43 licences.", "How many seats do we have?", "43"),
        (
            "Invoices go to billing@tarn.example.",
            "Which email address do our bills go to?",
            "billing@tarn.example",
        ),
        (
            "Please send our invoices to billing@tarn.example.",
            "Where do you send our invoices?",
            "billing@tarn.example",
        ),
        ("The code for the back gate is 7741.", "What is the PIN for the back door?", "7741"),
        ("Our carrier is Ostwind.", "Which courier do we use?", "Ostwind"),
        ("We use Ostwind as our carrier.", "Who ships our goods?", "Ostwind"),
        (
            "You can reach our night desk at 555-0142.",
            "What is the phone number of the night desk?",
            "555-0142",
        ),
        ("The technician visits us on Thursday.", "When does the engineer come?", "Thursday"),
        ("Our warehouse moved to Brunnholt.", "Where is our warehouse?", "Brunnholt"),
        ("My colleague Per Ask approves all refunds.", "Who authorises reimbursements?", "Per Ask"),
        ("Our budget for spare parts is 1200 EUR.", "How much can we spend on spare parts?", "1200 EUR"),
        (
            "The serial number of the grinder is GR-8812.",
            "Can you give me the grinder's serial number?",
            "GR-8812",
        ),
        ("We close at 16:30 on Fridays.", "What time do we shut on Friday?", "16:30"),
        ("The guest wifi password is moorhen.", "What is the password of the guest wi-fi?", "moorhen"),
        ("Lena Brook replaces Per Ask as our technician.", "Who is our technician?", "Lena Brook"),
        ("The meeting with the auditors is on 4 May.", "When do we meet the auditors?", "4 May"),
        ("Our deputy for purchasing is Jon Vale.", "Who is the stand-in for purchasing?", "Jon Vale"),
        ("My order AX-311 arrived damaged.", "Which order was damaged?", "AX-311"),
        ("The project is called Larkspur.", "What is the name of the project?", "Larkspur"),
        ("Our VAT id is DE-99812.", "What is our VAT number?", "DE-99812"),
    ];
    let mut wrong = Vec::new();
    for (tell, ask, value) in table {
        wrong.extend(hold(&[], &[("one", tell, &[value], &[]), ("two", ask, &[value], &[NOTHING])]).await);
    }
    all_well(&wrong);
}

#[tokio::test]
async fn a_newer_fact_takes_the_place_of_the_older() {
    let table: &[(&str, &str, &str, &str, &str)] = &[
        (
            "Our delivery address is Tarnweg 8.",
            "The delivery address has changed to Moorgasse 4.",
            "Where should parcels go?",
            "Moorgasse 4",
            "Tarnweg 8",
        ),
        (
            "Our delivery address is Tarnweg 8.",
            "From now on please ship everything to Moorgasse 4.",
            "What is our delivery address?",
            "Moorgasse 4",
            "Tarnweg 8",
        ),
        (
            "Our delivery address is Tarnweg 8.",
            "We have changed the delivery address from Tarnweg 8 to Moorgasse 4.",
            "Where do you deliver to?",
            "Moorgasse 4",
            "Tarnweg 8",
        ),
        (
            "Our account manager is Ilse Quandt.",
            "Jon Vale is our new account manager.",
            "Who looks after our account?",
            "Jon Vale",
            "Ilse Quandt",
        ),
        (
            "Our account manager is Ilse Quandt.",
            "Jon Vale has taken over as our account manager.",
            "Who manages our account?",
            "Jon Vale",
            "Ilse Quandt",
        ),
        ("We have 43 licences.", "We now have 51 licences.", "How many licences do we have?", "51", "43"),
        (
            "The PO number is PQ-5512.",
            "Update: the PO number is PQ-7700.",
            "What is the purchase order number?",
            "PQ-7700",
            "PQ-5512",
        ),
        (
            "The audit is on 4 May.",
            "The audit has been moved to 9 June.",
            "When is the audit?",
            "9 June",
            "4 May",
        ),
        (
            "Our budget is 1200 EUR.",
            "We raised our budget to 1500 EUR.",
            "What is our budget?",
            "1500 EUR",
            "1200 EUR",
        ),
        (
            "Send invoices to a@tarn.example.",
            "Could you change our invoice email to b@tarn.example?",
            "Which email do invoices go to?",
            "b@tarn.example",
            "a@tarn.example",
        ),
        (
            "The gate code is 7741.",
            "The new gate code is 9020.",
            "What is the code for the gate?",
            "9020",
            "7741",
        ),
        (
            "Our warehouse is in Brunnholt.",
            "We moved the warehouse to Kestrel Bay.",
            "Where is our warehouse located?",
            "Kestrel Bay",
            "Brunnholt",
        ),
    ];
    let mut wrong = Vec::new();
    for (first, then, ask, new, old) in table {
        let turns: &[Said<'_>] =
            &[("one", first, &[old], &[]), ("two", then, &[new], &[]), ("three", ask, &[new], &[old])];
        wrong.extend(hold(&[], turns).await);
    }
    all_well(&wrong);
}

#[tokio::test]
async fn a_correction_is_kept_as_a_whole_sentence() {
    let table: &[(&str, &str, &str, &str, &str)] = &[
        (
            "Our PO number is PQ-5512.",
            "Sorry, I meant PQ-7700.",
            "What is our PO number?",
            "PQ-7700",
            "PQ-5512",
        ),
        (
            "Our PO number is PQ-5512.",
            "No, it is PQ-7700, not PQ-5512.",
            "What is our PO number?",
            "PQ-7700",
            "PQ-5512",
        ),
        (
            "Our PO number is PQ-5512.",
            "Correction: the PO number is PQ-7700.",
            "What is our PO number?",
            "PQ-7700",
            "PQ-5512",
        ),
        (
            "Our account manager is Ilse Quandt.",
            "Actually it is Jon Vale.",
            "Who is our account manager?",
            "Jon Vale",
            "Ilse Quandt",
        ),
        (
            "The audit is on 4 May.",
            "I made a mistake, it should be 9 June.",
            "When is the audit?",
            "9 June",
            "4 May",
        ),
        (
            "The audit is on 4 May.",
            "Sorry, the audit is on 9 June, not on 4 May.",
            "When is the audit?",
            "9 June",
            "4 May",
        ),
        (
            "Our delivery address is Tarnweg 8.",
            "The address changed to Moorgasse 4.",
            "What is the delivery address?",
            "Moorgasse 4",
            "Tarnweg 8",
        ),
        ("We have 43 licences.", "Sorry, that should be 51.", "How many licences do we have?", "51", "43"),
    ];
    let mut wrong = Vec::new();
    for (first, then, ask, new, old) in table {
        let turns: &[Said<'_>] =
            &[("one", first, &[old], &[]), ("one", then, &[new], &[old]), ("two", ask, &[new], &[old])];
        wrong.extend(hold(&[], turns).await);
    }
    all_well(&wrong);
}

#[tokio::test]
async fn several_facts_in_one_message_are_all_kept() {
    let tell = "Hello team, some news: our account manager is Ilse Quandt, the PO number is PQ-5512 and \
        invoices go to billing@tarn.example. Also, we have 43 licences. Thanks!";
    let turns: &[Said<'_>] = &[
        ("one", tell, &["Ilse Quandt", "PQ-5512", "billing@tarn.example", "43"], &[]),
        ("two", "Who looks after our account?", &["Ilse Quandt"], &["PQ-5512"]),
        ("two", "And what is the purchase order number?", &["PQ-5512"], &["Ilse Quandt"]),
        ("two", "Where are bills sent, and how many seats do we have?", &["billing@tarn.example", "43"], &[]),
    ];
    all_well(&hold(&[], turns).await);
}

const SCANNERS: &str = "# Handheld scanners\n\n## Scanner does not read barcodes\n\n1. Restart the scanner \
    and wait for the beep.\n 2. Clean the window with a dry cloth.\n3. Print the label again at 203 \
    dpi.\n\nIf none of this helps, call extension 8841.\n\n ## Charging\n\nA full charge takes 3 hours. \
    Only use dock type K-7.\n";
const RETURNS: &str = "# Returns and refunds\n\nUnused goods can be returned within 30 days. Refunds are \
    paid within 12 working days after the goods arrive.\n\nRefunds above 750 EUR need the approval of Maren \
    Holt.\n\n## Damaged goods\n\nTake a photo and send it to claims@tarn.example within 48 hours.\n";
const HOURS: &str = "# Opening times\n\n| Site | Opens | Closes |\n|---|---|---|\n| Osthafen | 06:30 | \
    19:00 |\n| Brunnholt | 08:00 | 16:45 |\n";

#[tokio::test]
async fn questions_are_answered_from_the_handbook() {
    let handbook = &[("scanners.md", SCANNERS), ("returns.md", RETURNS), ("sub/opening-times.md", HOURS)];
    let turns: &[Said<'_>] = &[
        ("a", "How long do refunds take?", &["12 working days"], &[NOTHING]),
        ("a", "When do we get our money back?", &["12 working days"], &[NOTHING]),
        ("a", "Who has to approve a refund over 750 EUR?", &["Maren Holt"], &[NOTHING]),
        ("a", "How many days do we have to send goods back?", &["30 days"], &[NOTHING]),
        ("a", "Where do I send the photo of damaged goods?", &["claims@tarn.example"], &[NOTHING]),
        ("a", "When does the Brunnholt site close?", &["16:45"], &["19:00"]),
        ("a", "What time do you open in Osthafen?", &["06:30"], &["16:45"]),
        ("a", "How long does charging a scanner take?", &["3 hours"], &[]),
        ("a", "Which dock do I need for charging?", &["K-7"], &[]),
        (
            "a",
            "My scanner does not read barcodes any more. What can I do?",
            &["Clean the window", "From the handbook"],
            &[NOTHING],
        ),
    ];
    all_well(&hold(handbook, turns).await);
}

#[tokio::test]
async fn what_failed_is_not_suggested_again() {
    let handbook = &[("scanners.md", SCANNERS), ("returns.md", RETURNS)];
    let table: &[&[Said<'_>]] = &[
        &[
            ("a", "The scanner does not read barcodes.", &["Restart the scanner", "Clean the window"], &[]),
            (
                "a",
                "I already tried restarting the scanner, it did not help. What else can I try?",
                &["Clean the window", "203 dpi"],
                &["Restart", "restart"],
            ),
            ("a", "What else?", &["203 dpi"], &["Restart"]),
        ],
        &[(
            "b",
            "Our scanner cannot read labels. I rebooted it and wiped the window, but nothing changed. Any \
                other ideas?",
            &["203 dpi"],
            &["Restart", "Clean"],
        )],
        &[
            (
                "c",
                "I have restarted the scanner twice, still no barcodes are read.",
                &["Clean the window"],
                &["Restart"],
            ),
            (
                "c",
                "That did not help either. What now?",
                &["already tried", "8841"],
                &["Restart", "Clean the window"],
            ),
        ],
        &[
            ("d", "My barcode scanner is not reading.", &["Restart the scanner"], &[]),
            ("d", "Turning it off and on again didn't work.", &["Clean the window"], &["Restart"]),
            ("d", "What have I tried so far?", &["did not help"], &[]),
        ],
        &[
            ("e", "The scanner does not scan. I cleaned the window and that worked.", &[], &["Restart"]),
            ("e", "What did we try?", &["helped"], &[]),
        ],
    ];
    let mut wrong = Vec::new();
    for turns in table {
        wrong.extend(hold(handbook, turns).await);
    }
    all_well(&wrong);
}

#[tokio::test]
async fn an_attempt_belongs_to_its_session() {
    let handbook = &[("scanners.md", SCANNERS)];
    let turns: &[Said<'_>] = &[
        (
            "a",
            "The scanner does not read barcodes. I tried restarting it without success.",
            &["Clean"],
            &["Restart"],
        ),
        ("b", "The scanner does not read barcodes. What should I do?", &["Restart the scanner"], &[]),
    ];
    all_well(&hold(handbook, turns).await);
}

#[tokio::test]
async fn what_is_not_known_is_said_plainly() {
    let handbook = &[("scanners.md", SCANNERS), ("returns.md", RETURNS), ("opening-times.md", HOURS)];
    let turns: &[Said<'_>] = &[
        (
            "a",
            "Our account manager is Ilse Quandt. Our delivery address is Tarnweg 8. The gate code is 7741.",
            &["Ilse"],
            &[],
        ),
        ("a", "What is our bank's IBAN?", &[NOTHING, "lexical"], &["Ilse", "Tarnweg", "7741"]),
        ("a", "Do you offer a loyalty programme?", &[NOTHING], &["Ilse"]),
        ("b", "What is the wifi password at Osthafen?", &[NOTHING], &["06:30", "7741"]),
        ("b", "Who is our lawyer?", &[NOTHING], &["Ilse", "Maren"]),
        ("b", "When does order ZZ-9 arrive?", &[NOTHING], &["12 working"]),
        ("b", "How do I cook rice?", &[NOTHING], &["Restart"]),
        ("b", "What is the name of our insurance?", &[NOTHING], &["Ilse"]),
        ("b", "Which colour is the roof?", &[NOTHING], &[]),
    ];
    all_well(&hold(handbook, turns).await);
}

#[tokio::test]
async fn it_says_what_it_is_when_asked_and_only_then() {
    let turns: &[Said<'_>] = &[
        ("a", "Are you a real person?", &["offline model", "no language model"], &[]),
        ("a", "Good morning!", &[], &["offline model"]),
        ("a", "Thanks, that is all.", &[], &["offline model", NOTHING]),
        ("a", "Please forget our address.", &["cannot forget"], &[]),
    ];
    all_well(&hold(&[], turns).await);
}

#[tokio::test]
async fn odd_messages_get_an_answer() {
    let house = House::offline();
    let long = "x".repeat(60_000);
    let many = "Is this it? ".repeat(500);
    for message in [
        "?",
        "...",
        "\u{1F600}",
        "\" OR 1=1 --",
        "NEAR(a b)",
        "'''",
        "a\u{0}b",
        &long,
        &many,
        "- - -",
        "It.",
        "not",
        "and and and",
        "was is was is",
    ] {
        let reply = house.say("acme", "odd", message).await.unwrap();
        assert!(!reply.text.trim().is_empty());
    }
}
