//! The OpenAPI document, made from the handlers' own descriptions. It is served without a key, because it
//! holds nothing but the shape of the interface; a law compares it with the routes and with real answers.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    audit, deliveries, gateway, health, jobs, oversight, pipelines, schema, sessions, status, traces, turns,
    wire,
};
use crate::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Haversack",
        description = "Agents for many tenants. Tenant and principal come from the API key alone; every error is \
                       an RFC 9457 problem with a code, and `/errors/{code}` has its page."
    ),
    paths(
        turns::start, turns::show, turns::events, traces::show, traces::trace,
        sessions::list, sessions::show, sessions::delete, sessions::close,
        jobs::post, jobs::list, jobs::show, jobs::events, jobs::cancel, jobs::redrive,
        deliveries::list, gateway::wire::webhook,
        pipelines::list, pipelines::start, pipelines::runs, pipelines::show, pipelines::log, pipelines::output::read, pipelines::retry,
        pipelines::cancel,
        oversight::list, oversight::show, oversight::delete, oversight::deliveries, audit::list,
        oversight::list_in, oversight::show_in, oversight::delete_in, oversight::deliveries_in, status::show,
        health::metrics_of_operator,
        health::live, health::ready, health::metrics, health::error_page, serve,
    ),
    components(schemas(
        Problem, wire::TurnRequest, wire::TurnState, wire::TurnStateStatus, wire::SessionList,
        schema::Reply, schema::ToolUse, schema::MemoryReport, schema::Manifest, schema::ManifestEntry,
        schema::SessionSummary, schema::SessionView, schema::TurnView, schema::MessageView, schema::Receipt,
        schema::SessionClosed, status::Status, status::TenantStatus, status::AccountStatus, oversight::OwnedSessionList, oversight::OwnedSessionSummary, oversight::OwnedSessionView, audit::AuditTrail, audit::AuditEntry, deliveries::DeliveryView, deliveries::DeliveryList, gateway::wire::WebhookMessage, gateway::wire::WebhookChat, gateway::wire::WebhookSender,
        gateway::wire::WebhookAttachment, gateway::wire::WebhookAnswer, jobs::JobRequest, schema::SubmittedJob, schema::JobView, schema::JobStep, schema::JobsPage,
        pipelines::RunRequest, pipelines::PipelineList, pipelines::PipelineEntry, pipelines::Run, pipelines::RunList, pipelines::RunInList,
        pipelines::RunLog, pipelines::RunEvent, pipelines::output::PrintedView,
    )),
    modifiers(&ApiKey),
    tags(
        (name = "turns", description = "Say something and hear the answer."),
        (name = "context", description = "What was done, where, and under which context."),
        (name = "sessions", description = "What was said before."),
        (name = "jobs", description = "Work that outlives its request."),
        (name = "messages", description = "Signed messages of other platforms; the signature takes the place of a key."),
        (name = "deliveries", description = "What was to be said on other platforms."),
        (name = "pipelines", description = "Start runs and see what became of them."),
        (name = "admin", description = "Sessions and deliveries of everybody in your tenant, each request audited, and the audit trail of your tenant."),
        (name = "operator", description = "Facts and counts of the installation; what a tenant has only for a reason, which is audited."),
        (name = "operations", description = "For those who run the server; no key needed."),
    )
)]
struct Document;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("hv_<id>_<secret>")
            .description(Some(
                "An API key, as `haversack keys issue` shows it once. The word beside it is the role that the key needs: \
                 `member`, `tenant-admin` (which covers `member`), or `operator` (which covers neither).",
            ))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.security_schemes.insert("api_key".to_owned(), SecurityScheme::Http(scheme).into());
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses(
    (status = 200, description = "OpenAPI 3.1.", body = Object),
))]
pub(super) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
