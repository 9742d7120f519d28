//! What is open to everybody: whether the process lives, whether it takes work, its counters, and the pages
//! of the error codes. None of it shows anything of a tenant. Load balancers, collectors and people who met
//! an error code call it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::App;
use super::schema::Refused;
use crate::code::Code;
use crate::problem::{Fault, Problem};

/// The answer of `/healthz` and `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses(
    (status = 200, description = "It lives.", body = Health),
))]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the server takes new turns: it is not draining, and the store answers.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "It takes new turns.", body = Health),
    (status = 503, description = "It drains, or its store cannot be used.", body = Problem,
        content_type = "application/problem+json"),
    (status = 507, description = "HV0107: the disk of its store is full.", body = Problem,
        content_type = "application/problem+json"),
))]
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Health>, Fault> {
    if app.engine.turns().is_draining() {
        return Err(Fault::retry(
            Code::ShuttingDown,
            "The server is shutting down and starts no new turns.",
            5,
        ));
    }
    app.engine.store().check().await?;
    Ok(Json(Health { status: "ok" }))
}

/// Counters and histograms in the OpenMetrics text format. No label names a tenant, a principal or a session.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "OpenMetrics.", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "`[server] metrics_token` is set, and this is not it.", body = Problem,
        content_type = "application/problem+json"),
))]
pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Fault> {
    if let Some(token) = &app.metrics_token {
        let shown = headers.get(AUTHORIZATION).and_then(|shown| shown.as_bytes().strip_prefix(b"Bearer "));
        let shown = shown.ok_or_else(|| {
            Fault::new(Code::KeyMissing, "Send the token of the metrics as `Authorization: Bearer`.")
        })?;
        if !bool::from(shown.ct_eq(token.expose().as_bytes())) {
            return Err(Fault::new(Code::KeyUnknown, "This is not the token of the metrics."));
        }
    }
    Ok(rendered(&app))
}

fn rendered(app: &App) -> Response {
    let metrics = app.engine.telemetry().metrics();
    metrics.open_tenants(app.engine.store().open_tenants());
    ([(CONTENT_TYPE, crate::telemetry::metrics::CONTENT_TYPE)], metrics.render()).into_response()
}

/// As `/metrics`, for an operator's key, also where the metrics have a listener or a token of their own.
#[utoipa::path(get, path = "/v1/operator/metrics", tag = "operator", security(("api_key" = ["operator"])), responses(
    Refused,
    (status = 200, description = "OpenMetrics.", body = String, content_type = "application/openmetrics-text"),
))]
pub(super) async fn metrics_of_operator(State(app): State<App>) -> Response {
    rendered(&app)
}

/// The help page of an error code: what happened, why, what to do.
#[utoipa::path(get, path = "/errors/{code}", tag = "operations",
    params(("code" = String, Path, description = "The code, as in `HV0205`.")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/markdown"),
        (status = 404, description = "No such code.", body = Problem,
        content_type = "application/problem+json"),
    ))]
pub(super) async fn error_page(Path(code): Path<String>) -> Result<Response, Fault> {
    let unknown = || Fault::new(Code::NoRoute, "No error has this code.");
    let code = Code::find(&code).ok_or_else(unknown)?;
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}
