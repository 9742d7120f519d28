//! An axum extractor for the context of the request.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::{Context, Entry, MissingContext};

/// The context that the request entered with, for handlers that hand it on by value.
///
/// A handler needs no extractor to *read* a variable: it runs in the context already. The extractor refuses a
/// request that passed no boundary, so a route that was mounted outside of the layer is noticed at its first
/// request.
#[derive(Clone, Debug)]
pub struct CurrentContext(
    /// The context.
    pub Context,
);

impl<S: Send + Sync> FromRequestParts<S> for CurrentContext {
    type Rejection = NoBoundary;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, NoBoundary> {
        Entry::current().map(|_| Self(Context::current())).map_err(NoBoundary)
    }
}

/// The route is not behind a [`ContextLayer`](crate::layer::ContextLayer): an internal error, answered with 500
/// and no detail.
#[derive(Debug)]
pub struct NoBoundary(
    /// What was missing.
    pub MissingContext,
);

impl std::fmt::Display for NoBoundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the request passed no boundary: {}", self.0)
    }
}

impl std::error::Error for NoBoundary {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl IntoResponse for NoBoundary {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
