//! `traceparent` and `tracestate`, case by case, as W3C Trace Context writes them.

use haversack::propagator::{Caller, TraceState, Why};
use haversack::well_known::TraceContext;

use super::{THEIRS, arrive, dropped, map};

/// What became of a `traceparent`: their span, or why not.
fn read(sent: &str) -> Result<TraceContext, Why> {
    let arrival = arrive(&map([("traceparent", sent)]), Caller::Trusted);
    let outside = arrive(&map([("traceparent", sent)]), Caller::Outside);
    assert_eq!(arrival.parent(), outside.link(), "both are told the same");
    assert_eq!(arrival.dropped(), outside.dropped());
    match arrival.parent() {
        Some(parent) => Ok(parent.clone()),
        None => {
            assert_eq!(arrival.dropped().len(), 1);
            Err(arrival.dropped()[0].why)
        }
    }
}

#[test]
fn a_well_formed_parent_is_read_as_it_is() {
    assert_eq!(read(THEIRS).unwrap().as_str(), THEIRS);
    let unsampled = THEIRS.replace("-01", "-00");
    assert_eq!(read(&unsampled).unwrap().as_str(), unsampled);
}

#[test]
fn a_newer_version_is_read_by_its_first_four_parts() {
    let newer = THEIRS.replacen("00", "cc", 1);
    assert_eq!(read(&newer).unwrap().as_str(), THEIRS);
    assert_eq!(read(&format!("{newer}-what.is-new")).unwrap().as_str(), THEIRS);
    assert_eq!(read(&format!("{newer}.what-is-new")), Err(Why::Malformed));
    let flags = newer.replace("-01", "-ff");
    assert_eq!(read(&flags).unwrap().flags(), 3, "flags that nobody here knows are not passed on");
}

#[test]
fn a_malformed_parent_is_no_parent_and_says_why() {
    for (sent, why) in [
        ("", Why::Malformed),
        ("nonsense", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", Why::Malformed),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01", Why::Malformed),
        ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", Why::Malformed),
        (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Why::Malformed),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ", Why::Malformed),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Why::Version),
        ("FF-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Why::Malformed),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", Why::ZeroId),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", Why::ZeroId),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é", Why::NotText),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", Why::NotText),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\0", Why::NotText),
    ] {
        assert_eq!(read(sent), Err(why), "{sent:?}");
    }
    let long = "0".repeat(100_000);
    assert_eq!(read(&long), Err(Why::TooLong { bytes: 100_000, limit: 512 }));
}

#[test]
fn a_state_without_a_readable_parent_is_dropped_too() {
    let arrival = arrive(&map([("tracestate", "vendor=1")]), Caller::Trusted);
    assert_eq!(arrival.dropped(), dropped("tracestate", Why::WithoutTrace));
    let arrival = arrive(&map([("traceparent", "nonsense"), ("tracestate", "vendor=1")]), Caller::Trusted);
    assert_eq!((arrival.state(), arrival.dropped().len()), (None, 2));
}

#[test]
fn a_malformed_state_is_dropped_and_the_parent_stays() {
    let long = format!("a={}", "x".repeat(511));
    let many: Vec<String> = (0..33).map(|key| format!("k{key}=1")).collect();
    for (sent, why) in [
        ("novalue", Why::Malformed),
        ("=1", Why::Malformed),
        ("a=", Why::Malformed),
        ("A=1", Why::Malformed),
        ("1a=1", Why::Malformed),
        ("a=1=2", Why::Malformed),
        ("a@b@c=1", Why::Malformed),
        ("tenant@toolongsystemid=1", Why::Malformed),
        ("a=1,a=2", Why::RepeatedKey),
        (",", Why::Malformed),
        ("a=é", Why::NotText),
        ("a=1\u{7f}", Why::NotText),
        (long.as_str(), Why::TooLong { bytes: 513, limit: 512 }),
        (many.join(",").as_str(), Why::TooMany { members: 33, limit: 32 }),
    ] {
        let arrival = arrive(&map([("traceparent", THEIRS), ("tracestate", sent)]), Caller::Trusted);
        assert_eq!((arrival.state(), arrival.dropped()), (None, &dropped("tracestate", why)[..]), "{sent:?}");
        assert_eq!(arrival.parent().unwrap().as_str(), THEIRS);
        assert!(TraceState::parse(sent).is_err());
    }
}

#[test]
fn states_of_several_headers_are_one_and_blanks_do_not_count() {
    let headers: Vec<(String, Vec<u8>)> = vec![
        ("traceparent".to_owned(), THEIRS.into()),
        ("tracestate".to_owned(), b"a=1 ,\tb=x y".to_vec()),
        ("tracestate".to_owned(), b"0ten-ant@sys=3,, ".to_vec()),
    ];
    let arrival = super::WIRE.extract(&headers, Caller::Trusted).unwrap();
    assert_eq!(arrival.state().unwrap().as_str(), "a=1,b=x y,0ten-ant@sys=3");
}

#[test]
fn a_state_of_the_greatest_size_is_taken() {
    let many: Vec<String> = (0..32).map(|key| format!("k{key}=1")).collect();
    let long = format!("a={},b={}", "x".repeat(250), "y".repeat(257 - 2));
    for sent in [many.join(","), long] {
        assert!(sent.len() <= 512);
        assert_eq!(TraceState::parse(&sent).unwrap().as_str(), sent);
    }
}
