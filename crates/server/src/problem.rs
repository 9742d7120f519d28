//! What a user is told when something is wrong. A [`Fault`] is a code, one sentence for the user and a cause
//! for the log; at the HTTP boundary it becomes an RFC 9457 problem, on the command line one line with the
//! code. Every module of the server returns faults; only the outermost HTTP layer renders them, because it
//! knows the request id.

mod causes;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::Code;

/// An error with a code. Cheap to clone; the detail goes to the user, the source only to the log.
#[derive(Clone)]
pub struct Fault(Arc<Inner>);

struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    retry_after_s: Option<u32>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The body of an error answer, `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the help page is, relative to the server.
    #[serde(rename = "type")]
    #[schema(example = "/errors/HV0205")]
    pub kind: String,
    /// The kind of error, the same for each occurrence.
    #[schema(example = "Session not found")]
    pub title: String,
    /// The HTTP status, repeated.
    #[schema(example = 404)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The error code.
    #[schema(example = "HV0205")]
    pub code: String,
    /// The request id; also in `X-Request-Id`.
    pub instance: String,
}

impl Fault {
    /// A fault. `detail` is shown to the user: it names what happened and what to do, and holds nothing of
    /// anybody's data.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner { code, detail: detail.into(), retry_after_s: None, source: None }))
    }

    /// A fault with a cause. The cause is logged and printed on the command line; it never enters an HTTP
    /// answer.
    pub fn caused(
        code: Code,
        detail: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let source = Some(source.into());
        Self(Arc::new(Inner { code, detail: detail.into(), retry_after_s: None, source }))
    }

    /// A fault that says after how many seconds the same request may succeed.
    pub fn retry(code: Code, detail: impl Into<Cow<'static, str>>, after_s: u32) -> Self {
        Self(Arc::new(Inner { code, detail: detail.into(), retry_after_s: Some(after_s), source: None }))
    }

    /// A defect of ours: the user learns nothing but the code.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::caused(
            Code::Internal,
            "Something went wrong on the server. Report it with the request id.",
            source,
        )
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence for the user.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The cause and its causes in one line, for the log. Error texts of this product hold nothing that was
    /// said or stored; a provider's own message about a failed model call is redacted and shortened.
    pub fn causes(&self) -> String {
        let mut cause = self.source();
        let mut line = String::new();
        while let Some(error) = cause {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }

    /// The problem document for the request of this id.
    pub fn problem(&self, request_id: &str) -> Problem {
        let code = self.code();
        Problem {
            kind: format!("/errors/{code}"),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: self.detail().to_owned(),
            code: code.id().to_owned(),
            instance: request_id.to_owned(),
        }
    }

    /// The whole answer for the request of this id.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.problem(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code().status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code().status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"haversack\""));
        }
        response
    }
}

impl IntoResponse for Fault {
    /// Marks the answer; the outermost layer renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code().status();
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
