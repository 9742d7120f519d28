//! Headers that nobody meant well: never a panic, never a part.

use haversack::propagator::{Arrival, Caller, Dropped, TraceState};
use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use haversack::{Context, ContextVar};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{DOOR, LOCALE, SHELF, THEIRS, TIER, WIRE};

type Headers = Vec<(String, Vec<u8>)>;

/// Bytes that look like something now and then.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        "[ -~]{0,120}".prop_map(String::into_bytes),
        "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,8})?".prop_map(String::into_bytes),
        "(([a-z]{1,4}|tier) ?= ?(%[0-9a-f]{2}|[ -~]){0,12}[,;]?){1,6}".prop_map(String::into_bytes),
        "[,;=% \t]{0,40}".prop_map(String::into_bytes),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| {
            let mut bent = THEIRS.as_bytes().to_vec();
            let at = at % bent.len();
            bent[at] = byte;
            bent
        }),
        vec(any::<u8>(), 8_000..9_000),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "traceparent|Traceparent|tracestate|baggage|BAGGAGE|x-locale|X-Shelf",
        1 => "[a-zA-Z-]{0,12}",
    ]
}

/// What a door binds of it, as text.
fn bound(arrival: &Arrival) -> [Option<String>; 3] {
    DOOR.enter(|bindings| arrival.bind(bindings))
        .unwrap()
        .run(|| [LOCALE.get().ok(), SHELF.get().ok().map(|shelf| shelf.to_string()), TIER.get().ok()])
}

/// Whether something of this header, or of this variable in it, was dropped.
fn is_dropped(dropped: &[Dropped], header: &str) -> bool {
    dropped.iter().any(|dropped| dropped.header == header)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_header_makes_it_panic_and_each_is_taken_whole_or_dropped_with_a_reason(
        headers in vec((name(), value()), 0..8),
        trusted in any::<bool>(),
    ) {
        let caller = if trusted { Caller::Trusted } else { Caller::Outside };
        let arrival = WIRE.extract(&headers, caller).unwrap();
        let sent = |name: &str| -> Vec<&[u8]> {
            headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect()
        };

        // The trace is always one of ours or a child of one that was sent, whole.
        prop_assert!(TraceContext::parse(arrival.trace().as_str()).is_ok());
        let theirs = arrival.link().or(arrival.parent());
        match (theirs, &sent("traceparent")[..]) {
            (Some(theirs), [one]) => {
                prop_assert!(!is_dropped(arrival.dropped(), "traceparent"));
                let one = std::str::from_utf8(one).unwrap();
                prop_assert_eq!(&one[3..52], &theirs.as_str()[3..52]);
                prop_assert_eq!(arrival.parent().is_some(), trusted);
                prop_assert_eq!(theirs.trace_id() == arrival.trace().trace_id(), trusted);
            }
            (Some(_), _) => prop_assert!(false, "a trace out of nothing, or of two"),
            (None, []) => prop_assert!(!is_dropped(arrival.dropped(), "traceparent")),
            (None, _) => prop_assert!(is_dropped(arrival.dropped(), "traceparent")),
        }
        prop_assert!(arrival.state().is_none() || trusted && theirs.is_some());
        if let Some(state) = arrival.state() {
            prop_assert!(TraceState::parse(state.as_str()).is_ok());
        }

        let [locale, shelf, tier] = bound(&arrival);
        if let Some(locale) = locale {
            prop_assert_eq!(sent("x-locale"), [locale.as_bytes()]);
        }
        prop_assert!(shelf.is_none() || trusted);
        if let Some(tier) = tier {
            prop_assert!(trusted && !is_dropped(arrival.dropped(), "baggage"));
            prop_assert!(!tier.chars().any(char::is_control));
        }
    }

    #[test]
    fn what_leaves_is_always_well_formed_and_arrives_as_it_was(text in any::<String>(), state in "[ -~]{0,40}") {
        let here = Context::empty()
            .bind(&TRACE_CONTEXT, haversack::propagator::mint().unwrap())
            .bind(&LOCALE, text.clone())
            .bind(&TIER, text.clone());
        let here = match TraceState::parse(&state) {
            Ok(state) => here.bind(&haversack::propagator::TRACE_STATE, state),
            Err(_) => here,
        };
        let mut headers = Headers::new();
        let left = here.run(|| WIRE.inject(&mut headers));
        for (_, value) in &headers {
            prop_assert!(value.iter().all(|byte| matches!(byte, b' '..=b'~')));
        }
        let arrival = WIRE.extract(&headers, Caller::Trusted).unwrap();
        prop_assert_eq!(arrival.dropped(), []);
        let [locale, _, tier] = bound(&arrival);
        let whole = |header: &str| (!is_dropped(&left, header)).then(|| text.clone());
        prop_assert_eq!((locale, tier), (whole("x-locale"), whole("baggage")));
        prop_assert!(arrival.parent().is_some());
    }
}

#[test]
fn a_value_that_fails_to_print_stays_here() {
    struct Broken;
    impl std::fmt::Display for Broken {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    static BROKEN: ContextVar<Broken> = ContextVar::new("broken").outbound("x-broken");
    static ODD: haversack::propagator::Propagator =
        haversack::propagator::Propagator::new().headers_out(haversack::outgoing![BROKEN]);
    let mut headers = Headers::new();
    let left = Context::empty().bind(&BROKEN, Broken).run(|| ODD.inject(&mut headers));
    assert_eq!(left.len(), 1);
    assert!(headers.is_empty());
}
