//! The output of a step over HTTP, in parts, as JSON or as text. A request names a part by its offset, or asks for the end.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haversack_pipeline::run::RunId;
use haversack_pipeline::{OutputPart, Printed};
use http::header::{ACCEPT, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::NoRun;
use super::{App, invalid};
use crate::code::Code;
use crate::http::schema::Refused;
use crate::problem::{Fault, Problem};

/// Bytes of a part when nothing is asked for, and at most.
const PART: u64 = 64 * 1024;
const LARGEST_PART: u64 = 1024 * 1024;

/// Which part is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    attempt: Option<u32>,
    started: Option<u64>,
    offset: Option<u64>,
    limit: Option<u64>,
    tail: Option<u64>,
}

/// A part of what a step printed, standard output and standard error together. Secrets of the step are not in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PrintedView {
    /// The step, with the branches that lead to it.
    pub(crate) step: String,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// The number of the event that says that the attempt started. Send it with the next request, so that the server does
    /// not search for it.
    pub(crate) started: u64,
    /// How many bytes there are now. Of an output over 16 MiB the middle is not kept, and a line says so.
    pub(crate) size: u64,
    /// Where the part begins, in bytes.
    pub(crate) offset: u64,
    /// Send it as `offset` for what follows; absent where nothing follows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
    /// `utf-8`, or `base64` where the part is no UTF-8.
    pub(crate) encoding: String,
    /// The part.
    pub(crate) output: String,
}

impl From<Printed> for PrintedView {
    fn from(printed: Printed) -> Self {
        let Printed { step, attempt, started, size, mut offset, mut bytes } = printed;
        // A part may begin and end within a letter. One that begins so was asked for by its end.
        let inside = bytes.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
        if offset > 0 && std::str::from_utf8(bytes.get(inside..).unwrap_or_default()).is_ok() {
            bytes.drain(..inside);
            offset += inside as u64;
        }
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
            && error.valid_up_to() > 0
            && offset + (bytes.len() as u64) < size
        {
            bytes.truncate(error.valid_up_to());
        }
        let end = offset + bytes.len() as u64;
        let (encoding, output) = match String::from_utf8(bytes) {
            Ok(text) => ("utf-8", text),
            Err(error) => ("base64", STANDARD.encode(error.as_bytes())),
        };
        let next = (end < size).then_some(end);
        Self { step, attempt, started, size, offset, next, encoding: encoding.to_owned(), output }
    }
}

impl PrintedView {
    /// The part as text; what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// When a server sent what is no base64.
    pub(crate) fn text(&self) -> Result<String, base64::DecodeError> {
        match self.encoding.as_str() {
            "base64" => {
                STANDARD.decode(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => Ok(self.output.clone()),
        }
    }
}

/// Read what a step printed: its last attempt, or the one that is asked for.
///
/// The answer is JSON, or the text alone with `Accept: text/plain`. A step in a branch is named by its path as the log has it,
/// with each `/` as `%2F`: `each%2F[2]%2Fload`.
#[utoipa::path(get, path = "/v1/runs/{run}/steps/{step}/output", tag = "pipelines", security(("api_key" = ["member"])),
    params(
        ("run" = String, Path, description = "The run's name."),
        ("step" = String, Path, description = "The step, with the branches that lead to it."),
        ("attempt" = Option<u32>, Query, description = "Its number, from 1; the last one when absent."),
        ("started" = Option<u64>, Query, description = "The attempt, by the `started` of an earlier answer."),
        ("offset" = Option<u64>, Query, description = "Where the part begins, in bytes; 0 when absent."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1_048_576, description = "Bytes of a part; 65536 when absent."),
        ("tail" = Option<u64>, Query, minimum = 1, maximum = 1_048_576, description = "In the place of `offset` and `limit`: this many bytes of the end."),
    ),
    responses(
        Refused,
        NoRun,
        (status = 200, description = "The part.",
            content((PrintedView = "application/json"), (String = "text/plain"))),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(in crate::http) async fn read(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let unknown = || Fault::new(Code::RunNotFound, "There is no such run.");
    let Path((run, step)) = path.map_err(|_| unknown())?;
    let run = RunId::new(run).map_err(|_| unknown())?;
    let rule = "The query takes the numbers `attempt`, `started`, and either `tail` or `offset` and `limit`; a part has 1 to \
                1048576 bytes.";
    let Query(which) = which.map_err(|_| invalid(rule))?;
    let part = match (which.tail, which.offset, which.limit) {
        (Some(limit), None, None) => OutputPart::End { limit },
        (None, offset, limit) => {
            OutputPart::From { offset: offset.unwrap_or(0), limit: limit.unwrap_or(PART) }
        }
        _ => return Err(invalid(rule)),
    };
    let (OutputPart::End { limit } | OutputPart::From { limit, .. }) = part;
    if !(1..=LARGEST_PART).contains(&limit) {
        return Err(invalid(rule));
    }
    let printed = app.engine.work().pipelines().printed(&run, &step, which.attempt, which.started, part);
    let printed = printed.await?;
    let mut response = match wants_text(&headers) {
        true => {
            let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            (kind, String::from_utf8_lossy(&printed.bytes).into_owned()).into_response()
        }
        false => Json(PrintedView::from(printed)).into_response(),
    };
    // It is whatever a program of the tenant printed.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn wants_text(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/plain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: u64, size: u64, bytes: &[u8]) -> PrintedView {
        Printed { step: "s".to_owned(), attempt: 1, started: 2, size, offset, bytes: bytes.to_vec() }.into()
    }

    #[test]
    fn a_part_that_ends_within_a_letter_leaves_it_to_the_next_one() {
        let text = "a\u{fc}";
        let cut = view(0, 3, &text.as_bytes()[..2]);
        assert_eq!((cut.encoding.as_str(), cut.output.as_str(), cut.next), ("utf-8", "a", Some(1)));
        let rest = view(1, 3, &text.as_bytes()[1..]);
        assert_eq!((rest.output.as_str(), rest.next), ("\u{fc}", None));
        let end = view(2, 4, b"\xbcb");
        assert_eq!((end.encoding.as_str(), end.output.as_str(), end.offset), ("utf-8", "b", 3));
    }

    #[test]
    fn what_is_no_text_goes_as_base64() {
        let odd = view(0, 4, b"a\xff\x00b");
        assert_eq!((odd.encoding.as_str(), odd.next), ("base64", None));
        assert_eq!(odd.text().unwrap(), "a\u{fffd}\0b");
    }
}
