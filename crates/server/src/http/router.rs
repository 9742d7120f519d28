//! The routes. Everything under `/v1` is behind a key and a door, by role: `/v1/admin` for tenant admins, `/v1/operator` for
//! operators, who have no tenant, the others for members. The rest is open and shows nothing of any
//! tenant. The outermost layer is around all of it, so that also "no such route" is a problem with a request
//! id.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use haversack::ContextLayer;
use haversack_gateway::Gateway;
use haversack_mcp::McpServer;

use super::{
    App, access, audit, deliveries, gateway, health, jobs, mcp, openapi, outermost, oversight, pipelines,
    sessions, status, streams, traces, turns,
};
use crate::code::Code;
use crate::problem::Fault;

/// The whole HTTP surface: also messages of other platforms, and with `mcp` the endpoint at `/mcp`.
pub(crate) fn router(app: App, messages: &Gateway, mcp: Option<&McpServer>) -> Router {
    let behind_a_key = Router::new()
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{session}", get(sessions::show).delete(sessions::delete))
        .route("/v1/sessions/{session}/turns", post(turns::start))
        .route("/v1/sessions/{session}/close", post(sessions::close))
        .route("/v1/turns/{turn}", get(turns::show))
        .route("/v1/turns/{turn}/events", get(turns::events))
        .route("/v1/turns/{turn}/context", get(traces::show))
        .route("/v1/context/{id}", get(traces::trace))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/jobs", get(jobs::list).post(jobs::post))
        .route("/v1/jobs/{job}", get(jobs::show).delete(jobs::cancel))
        .route("/v1/jobs/{job}/events", get(jobs::events))
        .route("/v1/jobs/{job}/redrive", post(jobs::redrive))
        .route("/v1/pipelines", get(pipelines::list))
        .route("/v1/pipelines/{name}/runs", post(pipelines::start))
        .route("/v1/runs", get(pipelines::runs))
        .route("/v1/runs/{run}", get(pipelines::show).delete(pipelines::cancel))
        .route("/v1/runs/{run}/log", get(pipelines::log))
        .route("/v1/runs/{run}/steps/{step}/output", get(pipelines::output::read))
        .route("/v1/runs/{run}/retry", post(pipelines::retry))
        .method_not_allowed_fallback(no_method);
    let keyed = |routes: Router<App>| {
        // Layers run from the last one to the first: the key before the door.
        routes
            .route_layer(ContextLayer::new(access::door))
            .route_layer(from_fn_with_state(app.clone(), streams::bounded))
            .route_layer(from_fn_with_state(app.clone(), access::authenticate))
    };
    let mut behind_a_key = keyed(behind_a_key);
    if let Some(endpoint) = mcp {
        let endpoint = mcp::readable(keyed(mcp::routes(endpoint)), app.engine.mcp().allowed());
        behind_a_key = behind_a_key.merge(endpoint);
    }
    let admin = Router::new()
        .route("/v1/admin/sessions", get(oversight::list))
        .route("/v1/admin/sessions/{session}", get(oversight::show).delete(oversight::delete))
        .route("/v1/admin/deliveries", get(oversight::deliveries))
        .route("/v1/admin/audit", get(audit::list))
        .method_not_allowed_fallback(no_method)
        .route_layer(ContextLayer::new(access::door))
        .route_layer(from_fn(access::admin))
        .route_layer(from_fn_with_state(app.clone(), access::authenticate));
    let operator = Router::new()
        .route("/v1/operator/status", get(status::show))
        .route("/v1/operator/metrics", get(health::metrics_of_operator))
        .route("/v1/operator/tenants/{tenant}/sessions", get(oversight::list_in))
        .route(
            "/v1/operator/tenants/{tenant}/sessions/{session}",
            get(oversight::show_in).delete(oversight::delete_in),
        )
        .route("/v1/operator/tenants/{tenant}/deliveries", get(oversight::deliveries_in))
        .method_not_allowed_fallback(no_method)
        .route_layer(from_fn_with_state(app.clone(), access::operator));
    let open = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::serve))
        .route("/errors/{code}", get(health::error_page))
        .method_not_allowed_fallback(no_method);
    let open = if app.metrics_apart { open } else { open.merge(metrics()) };
    behind_a_key
        .merge(admin)
        .merge(operator)
        .merge(open)
        .merge(gateway::routes(&app, messages))
        .fallback(no_route)
        .layer(from_fn_with_state(app.clone(), outermost::answer))
        .with_state(app)
}

/// The metrics alone, for a listener of their own.
pub(crate) fn metrics_router(app: App) -> Router {
    metrics().fallback(no_route).layer(from_fn_with_state(app.clone(), outermost::answer)).with_state(app)
}

fn metrics() -> Router<App> {
    Router::new().route("/metrics", get(health::metrics)).method_not_allowed_fallback(no_method)
}

async fn no_route() -> Fault {
    Fault::new(Code::NoRoute, "Nothing lives at this path; /openapi.json lists every path.")
}

async fn no_method() -> Fault {
    Fault::new(Code::MethodNotAllowed, "This path does not take this method.")
}
