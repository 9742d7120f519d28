//! What went wrong with a call, without a word of what was said.
//!
//! `genai` puts whole bodies into its errors; here they become our small enum, and what a provider or a
//! connection wrote is dropped. Only the call of this module's parent sorts errors.

use std::error::Error as StdError;
use std::time::Duration;

use genai::webc::{Error as WebError, StreamTimeout};

use crate::model::ModelError;

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

/// Sorts an error of `genai`. `attempts` is how often the call was made.
pub(super) fn sort(error: genai::Error, attempts: u32, timeout: Duration) -> Fault {
    if let Some(status) = error.status() {
        let retry_after = error.headers().and_then(|headers| headers.get("retry-after"));
        let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Fault {
            error: of_status(status.as_u16(), attempts),
            retry_after: seconds.map(Duration::from_secs),
        };
    }
    match error {
        genai::Error::WebStream { error, .. } => sort_cause(error, attempts, timeout),
        genai::Error::WebModelCall { webc_error: WebError::Reqwest(error), .. }
        | genai::Error::WebAdapterCall { webc_error: WebError::Reqwest(error), .. } => {
            of_transport(error, timeout)
        }
        genai::Error::ChatResponse { .. } => ModelError::Reported.into(),
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

fn sort_cause(error: Box<dyn StdError + Send + Sync>, attempts: u32, timeout: Duration) -> Fault {
    let error = match error.downcast::<genai::Error>() {
        Ok(inner) => return sort(*inner, attempts, timeout),
        Err(other) => other,
    };
    let error = match error.downcast::<reqwest::Error>() {
        Ok(transport) => return of_transport(*transport, timeout),
        Err(other) => other,
    };
    if error.is::<StreamTimeout>() {
        return ModelError::Timeout(timeout).into();
    }
    ModelError::Malformed("it is not text").into()
}

fn of_status(status: u16, attempts: u32) -> ModelError {
    match status {
        401 | 403 => ModelError::Refused(status),
        _ => ModelError::Status { status, attempts },
    }
}

fn of_transport(error: reqwest::Error, timeout: Duration) -> Fault {
    if error.is_timeout() {
        return ModelError::Timeout(timeout).into();
    }
    // The URL may hold a key in its query.
    ModelError::Unreachable(Some(Box::new(error.without_url()))).into()
}
