//! `baggage`: percent-encoded both ways, within its limits, as a whole or not at all.

use haversack::propagator::{Caller, Dropped, Propagator, Why};
use haversack::{Context, ContextVar, incoming, outgoing};

use super::{DOOR, Map, TIER, WIRE, arrive, dropped, map};

/// What a `baggage` gives for the tier, or why it was dropped.
fn read(sent: &str) -> Result<Option<String>, Why> {
    let arrival = arrive(&map([("baggage", sent)]), Caller::Trusted);
    match arrival.dropped() {
        [] => Ok(DOOR.enter(|bindings| arrival.bind(bindings)).unwrap().run(|| TIER.get().ok())),
        [one] => {
            assert_eq!(one.header, "baggage");
            Err(one.why)
        }
        more => panic!("{more:?}"),
    }
}

#[test]
fn any_text_without_control_characters_comes_back_as_it_was() {
    for text in ["", "gold", "Zürich & Söhne, 50 % = ½; \"wie\" \\ immer", "  ", "漢字", "%41"] {
        let mut headers = Map::new();
        Context::empty().bind(&TIER, text.to_owned()).run(|| assert_eq!(WIRE.inject(&mut headers), []));
        let header = &headers["baggage"];
        assert!(header.bytes().all(|byte| matches!(byte, b'!'..=b'~')), "{header:?}");
        assert_eq!(read(header), Ok(Some(text.to_owned())));
    }
}

#[test]
fn blanks_properties_and_members_of_others_do_not_disturb() {
    assert_eq!(read("other=1 , tier =\tgold;ttl=5 ; private,x=y=z"), Ok(Some("gold".to_owned())));
    assert_eq!(read("other=1"), Ok(None));
    assert_eq!(read("Tier=gold"), Ok(None), "keys are compared with case");
}

#[test]
fn a_malformed_baggage_is_dropped_as_a_whole() {
    let long = format!("tier={}", "x".repeat(8188));
    let many: Vec<String> = (0..181).map(|key| format!("k{key}=1")).collect();
    for (sent, why) in [
        ("", Why::Malformed),
        ("tier", Why::Malformed),
        ("tier=gold,", Why::Malformed),
        ("tier=gold,,other=1", Why::Malformed),
        ("tier=gold,b\u{fc}=1", Why::NotText),
        ("tier=gold,a b=1", Why::Malformed),
        ("tier=gold,=1", Why::Malformed),
        ("tier=go ld", Why::Malformed),
        ("tier=\"gold\"", Why::Malformed),
        ("tier=gold\\", Why::Malformed),
        ("tier=gold;=x", Why::Malformed),
        ("tier=gold;a b", Why::Malformed),
        ("tier=gold%", Why::Malformed),
        ("tier=gold%4", Why::Malformed),
        ("tier=gold%zz", Why::Malformed),
        ("tier=gold%0d%0aset-cookie: x", Why::Malformed),
        ("tier=gold%0d%0aset-cookie:x", Why::ControlCharacter),
        ("tier=gold,other=%00", Why::ControlCharacter),
        ("tier=gold,other=%C2%85", Why::ControlCharacter),
        ("tier=gold,other=%ff", Why::NotUtf8),
        ("tier=gold,other=%ED%A0%80", Why::NotUtf8),
        ("tier=gold,tier=silver", Why::RepeatedKey),
        ("tier=gold,other=1\r\nx: y", Why::NotText),
        (long.as_str(), Why::TooLong { bytes: 8193, limit: 8192 }),
        (many.join(",").as_str(), Why::TooMany { members: 181, limit: 180 }),
    ] {
        assert_eq!(read(sent), Err(why), "{}", &sent[..sent.len().min(60)]);
    }
}

#[test]
fn baggage_of_the_greatest_size_is_taken_and_several_headers_are_one() {
    let long = format!("tier={}", "x".repeat(8187));
    assert_eq!(read(&long), Ok(Some("x".repeat(8187))));
    let many: Vec<String> = (0..179).map(|key| format!("k{key}=1")).chain(["tier=gold".to_owned()]).collect();
    assert_eq!(read(&many.join(",")), Ok(Some("gold".to_owned())));

    let half = format!("a={}", "x".repeat(4094));
    let pair = |value: &str| ("baggage".to_owned(), value.as_bytes().to_vec());
    let arrival = WIRE.extract(&vec![pair("a=1"), pair("tier=gold")], Caller::Trusted).unwrap();
    assert_eq!(arrival.dropped(), []);
    let both = vec![pair(&half), pair(&half.replace('a', "b"))];
    let arrival = WIRE.extract(&both, Caller::Trusted).unwrap();
    assert_eq!(arrival.dropped(), dropped("baggage", Why::TooLong { bytes: 8193, limit: 8192 }));
}

#[test]
fn a_propagator_that_takes_no_baggage_does_not_read_it() {
    static PLAIN: Propagator = Propagator::new();
    let arrival = PLAIN.extract(&map([("baggage", "\u{1}nonsense")]), Caller::Trusted).unwrap();
    assert_eq!(arrival.dropped(), []);
    assert_eq!(arrive(&map([("baggage", "\u{1}nonsense")]), Caller::Outside).dropped(), []);
}

#[test]
fn what_is_too_much_or_no_text_does_not_leave() {
    static LONG: ContextVar<String> = ContextVar::new("long").outbound("x-long");
    static BOTH: Propagator =
        Propagator::new().baggage_out(outgoing![TIER, LONG]).baggage_in(incoming![LONG]);
    let mut headers = Map::new();
    let here = Context::empty().bind(&TIER, "a\nb".to_owned()).bind(&LONG, "é".repeat(10));
    let left = here.run(|| BOTH.inject(&mut headers));
    assert_eq!(left, [Dropped { header: "baggage", variable: Some("tier"), why: Why::ControlCharacter }]);
    assert_eq!(headers["baggage"], format!("long={}", "%C3%A9".repeat(10)));
    let here = Context::empty().bind(&TIER, "gold".to_owned()).bind(&LONG, "é".repeat(1366));
    let left = here.run(|| BOTH.inject(&mut headers));
    assert_eq!(left, dropped("baggage", Why::TooLong { bytes: 8211, limit: 8192 }));
    assert!(headers.is_empty(), "nothing of it, and nothing of the last one");
}
