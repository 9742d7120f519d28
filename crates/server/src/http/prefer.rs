//! The headers by which a client says how it wants a turn: `Accept`, `Prefer`, `Idempotency-Key`,
//! `Last-Event-ID`. Each is read by its own standard (RFC 9110, RFC 7240, the idempotency-key draft, the HTML
//! standard's event streams). Only the turn handlers call it.

use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::code::Code;
use crate::problem::Fault;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How the answer to a new turn is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The reply, when the turn has ended.
    Reply,
    /// Events, as they come.
    Events,
    /// The place to ask later, at once.
    Later,
}

/// Reads `Prefer` and `Accept`.
pub(super) fn answer(headers: &HeaderMap) -> Answer {
    let asks_later =
        parts(headers, &PREFER).any(|part| first_token(part).eq_ignore_ascii_case("respond-async"));
    let takes_events = parts(headers, &ACCEPT).any(|part| {
        first_token(part).eq_ignore_ascii_case("text/event-stream")
            && !part.replace(' ', "").ends_with(";q=0")
    });
    match (asks_later, takes_events) {
        (true, _) => Answer::Later,
        (false, true) => Answer::Events,
        (false, false) => Answer::Reply,
    }
}

/// Reads `Idempotency-Key`: at most one, 1 to 128 visible ASCII characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let refused = || {
        let rule =
            "An Idempotency-Key has 1 to 128 visible ASCII characters without spaces, and is sent once.";
        Fault::new(Code::IdempotencyKey, rule)
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| refused())?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        return Err(refused());
    }
    Ok(Some(text.to_owned()))
}

/// The last event that a client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastEvent {
    /// The turn that it belongs to.
    pub(super) turn: String,
    /// Its number.
    pub(super) number: u64,
}

impl LastEvent {
    /// The event id on the wire: `<turn>.<number>`.
    pub(super) fn id(turn: &str, number: u64) -> String {
        format!("{turn}.{number}")
    }
}

/// Reads `Last-Event-ID`, as our own streams number their events.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<LastEvent>, Fault> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let parse = |value: &HeaderValue| {
        let (turn, number) = value.to_str().ok()?.rsplit_once('.')?;
        // Events are numbered by what the store can hold.
        let number: i64 = number.parse().ok()?;
        Some(LastEvent { turn: turn.to_owned(), number: number.try_into().ok()? })
    };
    let refused = || Fault::new(Code::FieldInvalid, "Last-Event-ID is not an event id of this server.");
    parse(value).map(Some).ok_or_else(refused)
}

fn parts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
}

fn first_token(part: &str) -> &str {
    part.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Answer, LastEvent, answer, idempotency_key, last_event};

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn the_answer_is_chosen_by_prefer_then_accept() {
        assert_eq!(answer(&headers(&[])), Answer::Reply);
        assert_eq!(answer(&headers(&[("accept", "*/*")])), Answer::Reply);
        assert_eq!(
            answer(&headers(&[("accept", "application/json, Text/Event-Stream;q=0.9")])),
            Answer::Events
        );
        assert_eq!(answer(&headers(&[("accept", "text/event-stream; q=0")])), Answer::Reply);
        let both = [("accept", "text/event-stream"), ("prefer", "wait=5, Respond-Async; foo=bar")];
        assert_eq!(answer(&headers(&both)), Answer::Later);
    }

    #[test]
    fn an_idempotency_key_is_held_to_its_rules() {
        assert_eq!(idempotency_key(&headers(&[])).unwrap(), None);
        assert_eq!(idempotency_key(&headers(&[("idempotency-key", "k-1")])).unwrap().as_deref(), Some("k-1"));
        let long = "k".repeat(129);
        for bad in ["", "a b", "ü", &long] {
            assert!(idempotency_key(&headers(&[("idempotency-key", bad)])).is_err(), "{bad}");
        }
        let mut twice = headers(&[("idempotency-key", "a")]);
        twice.append("idempotency-key", HeaderValue::from_static("b"));
        assert!(idempotency_key(&twice).is_err());
    }

    #[test]
    fn an_event_id_survives_its_round_trip() {
        let sent = LastEvent::id("turn_00ff", 7);
        let read = last_event(&headers(&[("last-event-id", &sent)])).unwrap();
        assert_eq!(read, Some(LastEvent { turn: "turn_00ff".into(), number: 7 }));
        for bad in ["", "7", "turn_00ff", "turn_00ff.", "turn_00ff.-1", "turn_00ff.x"] {
            assert!(last_event(&headers(&[("last-event-id", bad)])).is_err(), "{bad}");
        }
    }
}
