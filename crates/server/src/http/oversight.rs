//! Sessions and deliveries of a whole tenant, for its tenant admins and for an operator who gives a reason. Sessions that no key can
//! own, as those of groups and schedules, are reached here. Each request is written down before anything is read.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use haversack::well_known::{Principal, SessionId};
use haversack_agent::history::{Owned, Receipt as Erased, SessionSummary, SessionView};
use http::HeaderMap;
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::deliveries::{self, Asked, DeliveryList};
use super::schema::{self, NoSession, Receipt, Refused};
use super::sessions::{self, Page};
use super::wire::KnownSession;
use crate::auth::name::known_session;
use crate::auth::{Caller, OperatorKey};
use crate::code::Code;
use crate::operator::Overseer;
use crate::problem::{Fault, Problem};

/// The header in which an operator says why a tenant is entered.
const REASON: &str = "haversack-reason";

/// The longest reason, in bytes.
const LONGEST: usize = 1_000;

/// Sessions of a tenant, the most recently active first.
#[derive(Debug, Serialize)]
pub(super) struct Sessions {
    sessions: Vec<Owned<SessionSummary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// Sessions of a tenant, the most recently active first.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnedSessionList {
    /// The sessions.
    sessions: Vec<OwnedSessionSummary>,
    /// Send it as `before` for the next page; absent on the last one.
    before: Option<String>,
}

/// A session of a list, with its owner.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnedSessionSummary {
    /// The principal that owns it: a person, `group:...` or `cron:...`.
    owner: String,
    /// The session.
    #[serde(flatten)]
    session: schema::SessionSummary,
}

/// A session with its turns and its owner.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnedSessionView {
    /// The principal that owns it: a person, `group:...` or `cron:...`.
    owner: String,
    /// The session.
    #[serde(flatten)]
    session: schema::SessionView,
}

/// The tenant of the path, and the session where the path names one.
pub(super) struct Within {
    tenant: String,
    session: Option<SessionId>,
}

impl FromRequestParts<App> for Within {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let names: Result<Path<Vec<(String, String)>>, PathRejection> =
            Path::from_request_parts(parts, app).await;
        let mut names = names.map(|Path(names)| names).unwrap_or_default().into_iter();
        let tenant = names.next().map(|(_, tenant)| tenant).unwrap_or_default();
        let session = names.next().map(|(_, session)| known_session(&session)).transpose()?;
        Ok(Self { tenant, session })
    }
}

impl Within {
    /// The operator in this tenant, with the reason that the request gives.
    fn overseer(&self, app: &App, key: &OperatorKey, headers: &HeaderMap) -> Result<Overseer, Fault> {
        let reason = headers.get(REASON).and_then(|reason| reason.to_str().ok()).map(str::trim);
        let reason = reason.filter(|reason| (1..=LONGEST).contains(&reason.len())).ok_or_else(|| {
            let detail = "Say why the tenant is entered, in the header `Haversack-Reason`: 1 to 1000 characters of ASCII. \
                          The audit trail keeps it.";
            Fault::new(Code::FieldInvalid, detail)
        })?;
        Overseer::operator(app.engine.store().clone(), key, &self.tenant, reason.to_owned())
    }

    fn session(self) -> Result<SessionId, Fault> {
        self.session.ok_or_else(sessions::not_found)
    }
}

fn admin(app: &App, caller: &Caller) -> Result<Overseer, Fault> {
    Overseer::admin(app.engine.store().clone(), caller)
}

type Paged = Result<Query<Page>, QueryRejection>;

/// List the sessions of everybody in your tenant, those of groups and schedules included.
#[utoipa::path(get, path = "/v1/admin/sessions", tag = "admin", security(("api_key" = ["tenant-admin"])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Sessions of a page; 50 when absent."),
        ("before" = Option<String>, Query, description = "The `before` of the page that came first."),
    ),
    responses(
        Refused,
        (status = 200, description = "A page of sessions.", body = OwnedSessionList),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    page: Paged,
) -> Result<Json<Sessions>, Fault> {
    sessions_of(&app, &admin(&app, &caller)?, page).await
}

/// Read a session of anybody in your tenant.
#[utoipa::path(get, path = "/v1/admin/sessions/{session}", tag = "admin", security(("api_key" = ["tenant-admin"])),
    params(("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name, percent-encoded.")),
    responses(Refused, NoSession, (status = 200, description = "The session.", body = OwnedSessionView)))]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    KnownSession(session): KnownSession,
) -> Result<Json<Owned<SessionView>>, Fault> {
    session_of(&app, &admin(&app, &caller)?, session).await
}

/// Delete a session of anybody in your tenant with everything that was said and learnt in it, as its owner could.
#[utoipa::path(delete, path = "/v1/admin/sessions/{session}", tag = "admin", security(("api_key" = ["tenant-admin"])),
    params(("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name, percent-encoded.")),
    responses(Refused, NoSession, (status = 200, description = "What was deleted.", body = Receipt)))]
pub(super) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    KnownSession(session): KnownSession,
) -> Result<Json<Erased>, Fault> {
    erase_in(&app, &admin(&app, &caller)?, session).await
}

/// List what was to be said on other platforms to anybody in your tenant, the newest first. The words are not in it.
#[utoipa::path(get, path = "/v1/admin/deliveries", tag = "admin", security(("api_key" = ["tenant-admin"])),
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 50 when absent.")),
    responses(
        Refused,
        (status = 200, description = "The deliveries.", body = DeliveryList),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn deliveries(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<deliveries::List>, Fault> {
    deliveries_of(&app, &admin(&app, &caller)?, asked).await
}

/// List the sessions of a tenant, for a reason.
#[utoipa::path(get, path = "/v1/operator/tenants/{tenant}/sessions", tag = "operator",
    security(("api_key" = ["operator"])),
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("Haversack-Reason" = String, Header, description = "Why the tenant is entered; the audit trail keeps it."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Sessions of a page; 50 when absent."),
        ("before" = Option<String>, Query, description = "The `before` of the page that came first."),
    ),
    responses(
        Refused,
        (status = 200, description = "A page of sessions.", body = OwnedSessionList),
        (status = 404, description = "HV0225", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_in(
    State(app): State<App>,
    Extension(key): Extension<OperatorKey>,
    within: Within,
    headers: HeaderMap,
    page: Paged,
) -> Result<Json<Sessions>, Fault> {
    sessions_of(&app, &within.overseer(&app, &key, &headers)?, page).await
}

/// Read a session of a tenant, for a reason.
#[utoipa::path(get, path = "/v1/operator/tenants/{tenant}/sessions/{session}", tag = "operator",
    security(("api_key" = ["operator"])),
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name, percent-encoded."),
        ("Haversack-Reason" = String, Header, description = "Why the tenant is entered; the audit trail keeps it."),
    ),
    responses(
        Refused,
        (status = 200, description = "The session.", body = OwnedSessionView),
        (status = 400, description = "HV0207", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "HV0205, HV0225", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn show_in(
    State(app): State<App>,
    Extension(key): Extension<OperatorKey>,
    within: Within,
    headers: HeaderMap,
) -> Result<Json<Owned<SessionView>>, Fault> {
    let overseer = within.overseer(&app, &key, &headers)?;
    session_of(&app, &overseer, within.session()?).await
}

/// Delete a session of a tenant with everything that was said and learnt in it, for a reason.
#[utoipa::path(delete, path = "/v1/operator/tenants/{tenant}/sessions/{session}", tag = "operator",
    security(("api_key" = ["operator"])),
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("session" = String, Path, pattern = "^([A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}|(gateway|mcp)/.*)$", description = "The session's name, percent-encoded."),
        ("Haversack-Reason" = String, Header, description = "Why the tenant is entered; the audit trail keeps it."),
    ),
    responses(
        Refused,
        (status = 200, description = "What was deleted.", body = Receipt),
        (status = 400, description = "HV0207", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "HV0205, HV0225", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_in(
    State(app): State<App>,
    Extension(key): Extension<OperatorKey>,
    within: Within,
    headers: HeaderMap,
) -> Result<Json<Erased>, Fault> {
    let overseer = within.overseer(&app, &key, &headers)?;
    erase_in(&app, &overseer, within.session()?).await
}

/// List what was to be said on other platforms to anybody in a tenant, for a reason. The words are not in it.
#[utoipa::path(get, path = "/v1/operator/tenants/{tenant}/deliveries", tag = "operator",
    security(("api_key" = ["operator"])),
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("Haversack-Reason" = String, Header, description = "Why the tenant is entered; the audit trail keeps it."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 50 when absent."),
    ),
    responses(
        Refused,
        (status = 200, description = "The deliveries.", body = DeliveryList),
        (status = 404, description = "HV0225", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn deliveries_in(
    State(app): State<App>,
    Extension(key): Extension<OperatorKey>,
    within: Within,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<deliveries::List>, Fault> {
    deliveries_of(&app, &within.overseer(&app, &key, &headers)?, asked).await
}

async fn sessions_of(app: &App, overseer: &Overseer, page: Paged) -> Result<Json<Sessions>, Fault> {
    let (limit, before) = sessions::asked(page)?;
    let inside = overseer.enter("session.list", None).await?;
    let agents = app.engine.agents();
    // One more than the page tells whether there is another.
    let listing = inside
        .wrap(async move { Ok::<_, Fault>(agents.tenant_history()?.sessions(limit + 1, before).await?) });
    let mut sessions = listing.await?;
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let before = sessions.last().filter(|_| more).map(|last| last.inner.session.clone());
    Ok(Json(Sessions { sessions, before }))
}

async fn session_of(
    app: &App,
    overseer: &Overseer,
    session: SessionId,
) -> Result<Json<Owned<SessionView>>, Fault> {
    let inside = overseer.enter("session.read", Some(session.as_str())).await?;
    let agents = app.engine.agents();
    let reading =
        inside.wrap(async move { Ok::<_, Fault>(agents.tenant_history()?.session(&session).await?) });
    reading.await?.map(Json).ok_or_else(sessions::not_found)
}

/// Erases a session under the name of its owner, by the same steps as its owner would.
async fn erase_in(app: &App, overseer: &Overseer, session: SessionId) -> Result<Json<Erased>, Fault> {
    let inside = overseer.enter("session.delete", Some(session.as_str())).await?;
    let (agents, asked) = (app.engine.agents(), session.clone());
    let owner = inside.wrap(async move { Ok::<_, Fault>(agents.tenant_history()?.owner(&asked).await?) });
    let owner = owner.await?.ok_or_else(sessions::not_found)?;
    let owner = Principal::new(owner).map_err(Fault::internal)?;
    overseer.on_behalf_of(owner)?.wrap(sessions::erase(app, session)).await.map(Json)
}

async fn deliveries_of(
    app: &App,
    overseer: &Overseer,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<deliveries::List>, Fault> {
    let limit = deliveries::limit(asked)?;
    let inside = overseer.enter("delivery.list", None).await?;
    let desk = app.engine.desk();
    let listing = inside.wrap(async move { Ok::<_, Fault>(desk.ledger().list_all(limit).await?) });
    Ok(Json(deliveries::List::of(listing.await?)))
}
