//! The `Accept` header, which the transport requires to name both JSON and an event stream.
//!
//! Many clients ask for anything, or for one of the two. The transport is told that both are accepted, and an answer in
//! the other form is written anew: a stream as the response at its end, a response as a stream of one event.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// The longest stream that is written anew, in bytes.
const LONGEST: usize = 64 << 20;

/// The forms that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Either.
    Both,
    /// JSON alone.
    Json,
    /// An event stream alone.
    Events,
    /// Neither; the transport refuses.
    Neither,
}

impl Accepted {
    /// Reads the headers of a request, and writes what the transport wants to see.
    pub(super) fn of(method: &Method, headers: &mut HeaderMap) -> Self {
        let (json, events) = (accepts(headers, JSON), accepts(headers, EVENTS));
        // The answer to a `GET` is a stream and nothing else.
        let accepted = match (json, events) {
            (_, true) if method == Method::GET => Self::Both,
            (true, true) => Self::Both,
            (true, false) => Self::Json,
            (false, true) => Self::Events,
            (false, false) => Self::Neither,
        };
        if accepted != Self::Neither && (method != Method::GET || events) {
            headers.insert(ACCEPT, BOTH);
        }
        accepted
    }

    /// The response in a form that is accepted. A refusal stays as it is.
    pub(super) async fn answer(self, response: Response) -> Response {
        if !response.status().is_success() {
            return response;
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        match self {
            Self::Json if kind.starts_with(EVENTS) => rewrite(response, JSON, last_of).await,
            Self::Events if kind.starts_with(JSON) => {
                rewrite(response, EVENTS, |text| Some(format!("data: {text}\n\n"))).await
            }
            _ => response,
        }
    }
}

/// Returns true if the client accepts a media type. Without the header it accepts all; a weight of zero excludes.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    if !headers.contains_key(ACCEPT) {
        return true;
    }
    let group = kind.split('/').next().unwrap_or_default();
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let fits = name == kind || name == "*/*" || name.strip_suffix("/*") == Some(group);
        let excluded = parts.any(|part| {
            let weight = part.to_ascii_lowercase();
            weight.strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        fits && !excluded
    })
}

async fn rewrite(response: Response, kind: &'static str, anew: impl Fn(&str) -> Option<String>) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, LONGEST).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "an answer over MCP could not be written in the form that its client accepts");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let text = std::str::from_utf8(&bytes).ok().and_then(anew);
    parts.headers.remove(CONTENT_LENGTH);
    match text {
        Some(text) => {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            Response::from_parts(parts, Body::from(text))
        }
        None => {
            parts.status = StatusCode::INTERNAL_SERVER_ERROR;
            parts.headers.remove(CONTENT_TYPE);
            Response::from_parts(parts, Body::empty())
        }
    }
}

/// The response among the messages of a stream; progress before it is left out.
fn last_of(events: &str) -> Option<String> {
    let mut data = events.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let answers = |text: &&str| {
        serde_json::from_str::<Value>(text)
            .is_ok_and(|message| message.get("result").is_some() || message.get("error").is_some())
    };
    data.rfind(answers).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(accept: &[&'static str], method: &Method) -> (Accepted, Option<String>) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        let accepted = Accepted::of(method, &mut headers);
        (accepted, headers.get(ACCEPT).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn wildcards_and_one_form_alone_are_accepted() {
        let both = Some(BOTH.to_str().unwrap().to_owned());
        for (accept, accepted) in [
            (&[][..], Accepted::Both),
            (&["*/*"], Accepted::Both),
            (&["application/*, text/*;q=0.5"], Accepted::Both),
            (&["application/json", "text/event-stream"], Accepted::Both),
            (&["application/json"], Accepted::Json),
            (&["Text/Event-Stream; q=1"], Accepted::Events),
        ] {
            assert_eq!(read(accept, &Method::POST), (accepted, both.clone()), "{accept:?}");
        }
        for accept in [&["text/html"][..], &["application/json;q=0"]] {
            assert_eq!(read(accept, &Method::POST).0, Accepted::Neither, "{accept:?}");
        }
        assert_eq!(read(&["application/json"], &Method::GET).1.as_deref(), Some("application/json"));
    }

    #[test]
    fn the_response_of_a_stream_is_its_last_message() {
        let events = "id: 0\ndata:\n\ndata: {\"method\":\"notifications/progress\"}\n\ndata: {\"id\":1,\"result\":{}}\n\n";
        assert_eq!(last_of(events).as_deref(), Some("{\"id\":1,\"result\":{}}"));
        assert_eq!(last_of("data: 5\n\n"), None);
    }
}
