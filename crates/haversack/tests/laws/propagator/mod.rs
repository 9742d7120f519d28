//! What crosses HTTP headers: by list, both ways, and a foreign trace is linked unless its sender is trusted.

mod baggage;
mod hostile;
mod trace;

use std::collections::{BTreeMap, HashMap};

use haversack::propagator::{
    Arrival, Caller, Dropped, Propagator, TRACE_LINK, TRACE_STATE, TraceState, Why, mint,
};
use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use haversack::{Boundary, Context, ContextVar, Reason, incoming, outgoing};

const THEIRS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const THEIR_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

static LOCALE: ContextVar<String> = ContextVar::new("locale").outbound("x-locale");
static SHELF: ContextVar<u32> = ContextVar::new("shelf").outbound("x-shelf");
static TIER: ContextVar<String> = ContextVar::new("tier").outbound("x-tier");
static UNLISTED: ContextVar<u32> = ContextVar::new("unlisted").outbound("x-unlisted");

static WIRE: Propagator = Propagator::new()
    .headers_out(outgoing![LOCALE, SHELF])
    .baggage_out(outgoing![TIER])
    .headers_in(incoming![SHELF])
    .headers_from_anybody(incoming![LOCALE])
    .baggage_in(incoming![TIER]);

static DOOR: Boundary = Boundary::new("wire");

type Map = BTreeMap<String, String>;

fn map<const N: usize>(pairs: [(&str, &str); N]) -> Map {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn arrive(headers: &Map, caller: Caller) -> Arrival {
    WIRE.extract(headers, caller).unwrap()
}

fn dropped(header: &'static str, why: Why) -> Vec<Dropped> {
    vec![Dropped { header, variable: None, why }]
}

#[test]
fn an_outside_caller_gets_a_new_trace_with_a_link_to_theirs() {
    let headers = map([("traceparent", THEIRS), ("tracestate", "vendor=1")]);
    let arrival = arrive(&headers, Caller::Outside);
    assert_ne!(arrival.trace().trace_id(), THEIR_TRACE);
    assert_eq!(arrival.link().unwrap().as_str(), THEIRS);
    assert_eq!((arrival.parent(), arrival.state(), arrival.dropped()), (None, None, &[][..]));
    let again = arrive(&headers, Caller::Outside);
    assert_ne!(again.trace().trace_id(), arrival.trace().trace_id(), "one trace each");

    DOOR.enter(|bindings| arrival.bind(bindings)).unwrap().run(|| {
        assert_eq!(TRACE_CONTEXT.get().unwrap(), *arrival.trace());
        assert_eq!(TRACE_LINK.get().unwrap().as_str(), THEIRS);
        assert!(!TRACE_STATE.is_bound());
        let mut out = Map::new();
        WIRE.inject(&mut out);
        assert!(!out["traceparent"].contains(THEIR_TRACE), "theirs goes no further");
    });
}

#[test]
fn a_trusted_caller_continues_their_trace_as_its_child() {
    let headers = map([("traceparent", THEIRS), ("tracestate", "vendor=1, ours@x=2")]);
    let arrival = arrive(&headers, Caller::Trusted);
    assert_eq!(arrival.trace().trace_id(), THEIR_TRACE);
    assert_ne!(arrival.trace().parent_id(), "00f067aa0ba902b7", "the request is a span of its own");
    assert_eq!(arrival.parent().unwrap().as_str(), THEIRS);
    assert_eq!(arrival.link(), None);

    DOOR.enter(|bindings| arrival.bind(bindings)).unwrap().run(|| {
        assert!(!TRACE_LINK.is_bound());
        let mut out = Map::new();
        WIRE.inject(&mut out);
        assert_eq!(out["traceparent"], arrival.trace().as_str());
        assert_eq!(out["tracestate"], "vendor=1,ours@x=2");
    });
    let unsampled = map([("traceparent", &THEIRS.replace("-01", "-00"))]);
    assert_eq!(arrive(&unsampled, Caller::Trusted).trace().flags(), 0);
}

#[test]
fn without_a_trace_everybody_gets_a_new_one() {
    for caller in [Caller::Outside, Caller::Trusted] {
        let arrival = arrive(&Map::new(), caller);
        assert_eq!((arrival.link(), arrival.parent(), arrival.dropped()), (None, None, &[][..]));
        assert_eq!(arrival.trace().flags(), 1);
    }
}

#[test]
fn what_is_listed_leaves_and_nothing_else() {
    let trace = mint().unwrap();
    let here = Context::empty()
        .bind(&TRACE_CONTEXT, trace.clone())
        .bind(&LOCALE, "de-CH".to_owned())
        .bind(&SHELF, 7)
        .bind(&TIER, "gold".to_owned())
        .bind(&UNLISTED, 1);
    let mut headers = Map::new();
    assert_eq!(here.run(|| WIRE.inject(&mut headers)), []);
    let expected = map([
        ("baggage", "tier=gold"),
        ("traceparent", trace.as_str()),
        ("x-locale", "de-CH"),
        ("x-shelf", "7"),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn what_the_carrier_held_under_our_names_is_replaced_or_removed() {
    let mut headers = map([
        ("Traceparent", THEIRS),
        ("tracestate", "vendor=1"),
        ("X-Locale", "copied"),
        ("x-shelf", "copied"),
        ("baggage", "tier=copied"),
        ("x-other", "stays"),
    ]);
    Context::empty().bind(&SHELF, 7).run(|| WIRE.inject(&mut headers));
    assert_eq!(headers, map([("x-other", "stays"), ("x-shelf", "7")]));
}

#[test]
fn what_is_listed_is_taken_from_whom_the_list_says_and_nothing_else() {
    let headers = map([
        ("x-locale", "de-CH"),
        ("x-shelf", "7"),
        ("x-unlisted", "1"),
        ("baggage", "tier=gold,unlisted=1"),
    ]);
    let bound = |caller| {
        let arrival = arrive(&headers, caller);
        assert_eq!(arrival.dropped(), []);
        DOOR.enter(|bindings| arrival.bind(bindings)).unwrap().run(|| {
            (LOCALE.get().ok(), SHELF.get().ok(), TIER.get().ok(), UNLISTED.get().unwrap_err().reason())
        })
    };
    let locale = Some("de-CH".to_owned());
    assert_eq!(bound(Caller::Outside), (locale.clone(), None, None, Reason::NeverBound));
    assert_eq!(bound(Caller::Trusted), (locale, Some(7), Some("gold".to_owned()), Reason::NeverBound));
}

#[test]
fn a_binding_that_was_taken_names_its_door() {
    let arrival = arrive(&map([("x-locale", "de-CH")]), Caller::Outside);
    let visit = DOOR.enter(|bindings| arrival.bind(bindings)).unwrap();
    let described = visit.context().describe();
    let locale = described.bindings.iter().find(|binding| binding.name == "locale").unwrap();
    assert_eq!(locale.boundary, Some("wire"));
    assert!(locale.bound_at.contains("propagator/mod.rs"), "{}", locale.bound_at);
}

#[test]
fn a_value_that_its_type_refuses_is_dropped_alone_and_not_quoted() {
    let headers = map([("x-shelf", "seven"), ("x-locale", "de")]);
    let arrival = arrive(&headers, Caller::Trusted);
    let expected = Dropped { header: "x-shelf", variable: Some("shelf"), why: Why::Refused };
    assert_eq!(arrival.dropped(), [expected]);
    assert!(!format!("{arrival:?} {expected}").contains("seven"));
    let visit = DOOR.enter(|bindings| arrival.bind(bindings)).unwrap();
    assert_eq!(visit.run(|| (SHELF.get().ok(), LOCALE.get().ok())), (None, Some("de".to_owned())));
}

#[test]
fn a_value_that_is_no_header_text_stays_here_and_the_rest_leaves() {
    for (text, why) in [
        ("a\r\nset-cookie: x", Why::NotText),
        ("Zürich", Why::NotText),
        (" led by a blank", Why::NotText),
        (&"x".repeat(8193), Why::TooLong { bytes: 8193, limit: 8192 }),
    ] {
        let mut headers = map([("x-locale", "before")]);
        let here = Context::empty().bind(&LOCALE, text.to_owned()).bind(&SHELF, 7);
        let left = here.run(|| WIRE.inject(&mut headers));
        assert_eq!(left, [Dropped { header: "x-locale", variable: Some("locale"), why }]);
        assert_eq!(headers, map([("x-shelf", "7")]));
    }
}

#[test]
fn a_listed_header_that_is_too_long_or_sent_twice_is_dropped_whole_and_the_rest_is_taken() {
    let look = |headers: &[(&str, String)]| {
        let carrier: Vec<(String, Vec<u8>)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
        let arrival = WIRE.extract(&carrier, Caller::Trusted).unwrap();
        let visit = DOOR.enter(|bindings| arrival.bind(bindings)).unwrap();
        let bound = visit.run(|| (LOCALE.get().ok().map(|locale| locale.len()), SHELF.get().ok()));
        (bound, arrival.dropped().to_vec())
    };
    let locale = |why| vec![Dropped { header: "x-locale", variable: Some("locale"), why }];
    let shelf = || ("x-shelf", "7".to_owned());
    assert_eq!(look(&[("x-locale", "d".repeat(8192)), shelf()]), ((Some(8192), Some(7)), vec![]));
    let long = Why::TooLong { bytes: 8193, limit: 8192 };
    assert_eq!(look(&[("x-locale", "d".repeat(8193)), shelf()]), ((None, Some(7)), locale(long)));
    let twice = [("x-locale", "de".to_owned()), shelf(), ("X-Locale", "fr".to_owned())];
    assert_eq!(look(&twice), ((None, Some(7)), locale(Why::Repeated)));
}

#[test]
fn every_carrier_says_the_same() {
    let trace = TraceContext::parse(THEIRS).unwrap();
    let here = Context::empty()
        .bind(&TRACE_CONTEXT, trace)
        .bind(&LOCALE, "de".to_owned())
        .bind(&TRACE_STATE, TraceState::parse("a=1").unwrap());
    let mut tree = Map::new();
    let mut hash: HashMap<String, String> = HashMap::new();
    let mut http = http::HeaderMap::new();
    http.append("traceparent", "stale".parse().unwrap());
    http.append("traceparent", "stale twice".parse().unwrap());
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    here.run(|| {
        WIRE.inject(&mut tree);
        WIRE.inject(&mut hash);
        WIRE.inject(&mut http);
        WIRE.inject(&mut pairs);
    });
    let look = |arrival: Arrival| {
        let visit = DOOR.enter(|bindings| arrival.bind(bindings)).unwrap();
        let locale = visit.run(|| LOCALE.get().unwrap());
        (arrival.parent().unwrap().clone(), arrival.state().unwrap().clone(), locale)
    };
    let first = look(WIRE.extract(&tree, Caller::Trusted).unwrap());
    assert_eq!(look(WIRE.extract(&hash, Caller::Trusted).unwrap()), first);
    assert_eq!(look(WIRE.extract(&http, Caller::Trusted).unwrap()), first);
    assert_eq!(look(WIRE.extract(&pairs, Caller::Trusted).unwrap()), first);
}

#[test]
fn the_names_of_a_plain_map_are_compared_without_case() {
    let headers = map([("Traceparent", THEIRS), ("TRACEPARENT", THEIRS)]);
    assert_eq!(arrive(&headers, Caller::Trusted).dropped(), dropped("traceparent", Why::Repeated));
    let one = map([("TraceParent", THEIRS)]);
    assert_eq!(arrive(&one, Caller::Trusted).trace().trace_id(), THEIR_TRACE);
}

#[test]
fn a_trace_context_is_the_same_after_text_json_headers_and_a_snapshot() {
    let trace = mint().unwrap();
    assert_eq!(trace.as_str().parse::<TraceContext>().unwrap(), trace);
    let json = serde_json::to_string(&trace).unwrap();
    assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), trace);

    let mut headers = Map::new();
    Context::empty().bind(&TRACE_CONTEXT, trace.clone()).run(|| WIRE.inject(&mut headers));
    assert_eq!(arrive(&headers, Caller::Trusted).parent(), Some(&trace));

    #[cfg(feature = "snapshot")]
    {
        use haversack::{Keyring, Manifest, SealedFor, Snapshot, manifest};
        static OUT: Manifest = manifest![TRACE_CONTEXT; TRACE_LINK, TRACE_STATE];
        let keys = Keyring::generate().unwrap();
        let bound_to = SealedFor { tenant: "acme", queue: "q", id: "1" };
        let state = TraceState::parse("vendor=1").unwrap();
        let visit = DOOR.enter(|bindings| {
            let link = TraceContext::parse(THEIRS).unwrap();
            let bindings = bindings.bind(&TRACE_CONTEXT, trace.clone()).bind(&TRACE_LINK, link);
            bindings.bind(&TRACE_STATE, state.clone())
        });
        let sealed = visit.unwrap().run(|| OUT.capture()).unwrap().seal(b"", &keys, &bound_to).unwrap();
        let (snapshot, _) = Snapshot::open(&sealed, &keys, &bound_to).unwrap();
        snapshot.restore(&OUT, &DOOR, |bindings| bindings).unwrap().run(|| {
            assert_eq!(TRACE_CONTEXT.get().unwrap(), trace);
            assert_eq!(TRACE_LINK.get().unwrap().as_str(), THEIRS);
            assert_eq!(TRACE_STATE.get().unwrap(), state);
        });
    }
}
