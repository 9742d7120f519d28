//! Reading a JSON body: type, size, time and syntax, each with its code. Error texts give the place and the
//! rule and never repeat what was sent. Handlers take a [`JsonBody`] as their last argument.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::App;
use crate::code::Code;
use crate::problem::Fault;

/// How much of a body over the limit is still read, so that the sender gets to read the answer instead of a
/// broken pipe.
const DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// A body that was JSON of this shape.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self, Fault> {
        if !is_json(request.headers()) {
            return Err(Fault::new(Code::MediaType, "Send the body with `Content-Type: application/json`."));
        }
        let (parts, body) = request.into_parts();
        let bytes = whole(app, &parts.headers, body, app.limits.body_bytes).await?;
        // Whether it is JSON at all comes first, so that a cut body is never called a wrong field.
        serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| refused(&error))?;
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Fault::new(Code::FieldInvalid, "The body must be a JSON object."));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| refused(&error))
    }
}

/// A whole body of at most `limit` bytes, in the time that a body may take.
///
/// # Errors
/// [`Code::BodyTooLarge`], [`Code::BodyTimeout`].
pub(super) async fn whole(app: &App, headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Fault> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let time = Duration::from_secs(app.limits.body_timeout_s);
    let slow = |_| Fault::new(Code::BodyTimeout, "The request body did not arrive in time.");
    tokio::time::timeout(time, read(body, declared, limit)).await.map_err(slow)?
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn read(mut body: Body, declared: Option<u64>, limit: usize) -> Result<Bytes, Fault> {
    let too_large = || {
        Fault::new(
            Code::BodyTooLarge,
            format!("The body is larger than {limit} bytes, the limit of this server."),
        )
    };
    if declared.is_some_and(|declared| declared > (limit + DISCARDED_BYTES) as u64) {
        return Err(too_large());
    }
    let mut kept = BytesMut::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::new(Code::JsonInvalid, "The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen <= limit {
            kept.extend_from_slice(&data);
        } else if seen > limit + DISCARDED_BYTES {
            break;
        }
    }
    if seen > limit { Err(too_large()) } else { Ok(kept.freeze()) }
}

fn refused(error: &serde_json::Error) -> Fault {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => {
            let rule = "a required field is missing, a field is unknown, or a value has the wrong type";
            Fault::new(Code::FieldInvalid, format!("The body does not fit at {place}: {rule}."))
        }
        Category::Eof => Fault::new(Code::JsonInvalid, format!("The JSON ends too early, at {place}.")),
        Category::Syntax | Category::Io => {
            Fault::new(Code::JsonInvalid, format!("The JSON is wrong at {place}."))
        }
    }
}
