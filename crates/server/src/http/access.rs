//! The way in: the key and its role, the tenant's rate limit, then the door. Authentication leaves a [`Caller`] in the
//! request, and the door binds tenant, principal and the id of the key from it; no other header, path or body has a say in who is
//! asking. The headers that jobs may take along are bound as facts.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haversack::Visit;
use haversack::well_known::{PRINCIPAL, REQUEST_ID, RequestId, TENANT_ID, TRACE_CONTEXT};
use haversack_jobs::Headers;
use haversack_jobs::carried::{CREDENTIAL, Credential, HEADERS};

use super::App;
use super::room::Place;
use crate::auth::{Caller, KeyRole};
use crate::boundary::HTTP;
use crate::code::Code;
use crate::problem::Fault;
use crate::telemetry::trace::{Arrival, LINK, TRACE_STATE};

/// Lets a request pass that carries a valid key of a tenant within its rate.
pub(super) async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let caller = app.keyring.authenticate(request.headers()).await?;
    if let Some(place) = request.extensions().get::<Place>() {
        place.is_known();
    }
    if let Err(seconds) = app.rates.take(&caller.tenant) {
        let detail = "This tenant sends requests faster than it may.";
        return Err(Fault::retry(Code::TenantLimit, detail, seconds));
    }
    let named = app.carried.iter().map(String::as_str).collect::<Vec<_>>();
    let sent =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers = Headers::allowed(&named, sent);
    request.extensions_mut().insert(headers);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets a request pass whose key has the role `tenant-admin`. Behind [`authenticate`].
pub(super) async fn admin(request: Request, next: Next) -> Result<Response, Fault> {
    let caller = request.extensions().get::<Caller>();
    caller.ok_or_else(|| Fault::internal("no caller was authenticated"))?.demand(KeyRole::TenantAdmin)?;
    Ok(next.run(request).await)
}

/// Lets a request pass whose key has the role `operator`. It has no tenant and enters no context.
pub(super) async fn operator(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let key = app.keyring.operator(request.headers()).await?;
    if let Some(place) = request.extensions().get::<Place>() {
        place.is_known();
    }
    request.extensions_mut().insert(key);
    Ok(next.run(request).await)
}

/// The door of an authenticated request.
#[allow(clippy::result_large_err)] // the shape that the layer asks for; it is made once a request
pub(super) fn door<B>(request: &http::Request<B>) -> Result<Visit, Response> {
    let caller = request.extensions().get::<Caller>();
    let id = request.extensions().get::<RequestId>();
    let arrival = request.extensions().get::<Arrival>();
    let visit = HTTP.enter(|bind| {
        bind.bind_some(&TENANT_ID, caller.map(|caller| caller.tenant.clone()))
            .bind_some(&PRINCIPAL, caller.map(|caller| caller.principal.clone()))
            .bind_some(&CREDENTIAL, caller.map(|caller| Credential::new(caller.key.as_str())))
            .bind_some(&HEADERS, request.extensions().get::<Headers>().cloned())
            .bind_some(&REQUEST_ID, id.cloned())
            .bind_some(&TRACE_CONTEXT, arrival.map(|arrival| arrival.trace.clone()))
            .bind_some(&LINK, arrival.and_then(|arrival| arrival.link.clone()))
            .bind_some(&TRACE_STATE, arrival.and_then(|arrival| arrival.state.clone()))
    });
    visit.map_err(|refused| Fault::from(refused).into_response())
}
