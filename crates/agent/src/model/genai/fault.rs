//! Sorts the errors of a call into our small enum.
//!
//! `genai` puts whole bodies into its errors. The provider's message is kept as the error's source, shortened and without
//! secrets, and the rest of the body is dropped. Only the call of this module's parent sorts errors.

use std::error::Error as StdError;
use std::time::Duration;

use genai::webc::{Error as WebError, StreamTimeout};
use jiff::Timestamp;

use super::{Line, said};
use crate::model::{ModelError, Said};

/// A sorted failure, and how long the provider asked to wait before the next attempt.
pub(super) struct Fault {
    pub(super) error: ModelError,
    pub(super) retry_after: Option<Duration>,
}

impl From<ModelError> for Fault {
    fn from(error: ModelError) -> Self {
        Self { error, retry_after: None }
    }
}

/// Sorts an error of `genai`. `attempts` is the number of calls that were made.
pub(super) fn sort(error: genai::Error, attempts: u32, line: &Line) -> Fault {
    let words = said(&error, line);
    if let Some(status) = error.status() {
        let retry_after = error.headers().and_then(|headers| headers.get("retry-after"));
        return Fault {
            error: of_status(status.as_u16(), attempts, words),
            retry_after: retry_after.and_then(|value| wait(value.to_str().ok()?)),
        };
    }
    match error {
        genai::Error::WebStream { error, .. } => sort_cause(error, attempts, line),
        genai::Error::WebModelCall { webc_error: WebError::Reqwest(error), .. }
        | genai::Error::WebAdapterCall { webc_error: WebError::Reqwest(error), .. } => {
            of_transport(error, line.timeout)
        }
        genai::Error::ChatResponse { .. } => ModelError::Reported(words).into(),
        genai::Error::StreamParse { .. } | genai::Error::SerdeJson(_) | genai::Error::JsonValueExt(_) => {
            ModelError::Malformed("it is not the JSON that the protocol asks for").into()
        }
        genai::Error::Resolver { .. }
        | genai::Error::RequiresApiKey { .. }
        | genai::Error::NoAuthData { .. }
        | genai::Error::NoAuthResolver { .. }
        | genai::Error::AdapterNotSupported { .. } => {
            ModelError::Misconfigured("the provider cannot be called with this configuration".to_owned())
                .into()
        }
        _ => ModelError::Malformed("the provider answered something unexpected").into(),
    }
}

fn sort_cause(error: Box<dyn StdError + Send + Sync>, attempts: u32, line: &Line) -> Fault {
    let error = match error.downcast::<genai::Error>() {
        Ok(inner) => return sort(*inner, attempts, line),
        Err(other) => other,
    };
    let error = match error.downcast::<reqwest::Error>() {
        Ok(transport) => return of_transport(*transport, line.timeout),
        Err(other) => other,
    };
    if error.is::<StreamTimeout>() {
        return ModelError::Timeout(line.timeout).into();
    }
    ModelError::Malformed("it is not text").into()
}

fn of_status(status: u16, attempts: u32, said: Option<Box<Said>>) -> ModelError {
    match status {
        401 | 403 => ModelError::Refused { status, said },
        _ => ModelError::Status { status, attempts, said },
    }
}

/// The provider's message in the body that `genai` kept, if it kept one.
fn said(error: &genai::Error, line: &Line) -> Option<Box<Said>> {
    let text = match error {
        genai::Error::HttpError { body, .. } => said::text(body, line.key.as_ref()),
        genai::Error::ChatResponse { body, .. } => said::text(&body.to_string(), line.key.as_ref()),
        genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => {
            match webc_error {
                WebError::ResponseFailedStatus { body, .. }
                | WebError::ResponseFailedNotJson { body, .. }
                | WebError::ResponseFailedInvalidJson { body, .. } => said::text(body, line.key.as_ref()),
                _ => None,
            }
        }
        _ => None,
    };
    text.map(|text| Box::new(Said { model: line.name.clone(), host: line.host.clone(), text }))
}

/// The wait that `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn wait(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: Timestamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

fn of_transport(error: reqwest::Error, timeout: Duration) -> Fault {
    if error.is_timeout() {
        return ModelError::Timeout(timeout).into();
    }
    // The URL may hold a key in its query.
    ModelError::Unreachable(Some(Box::new(error.without_url()))).into()
}
