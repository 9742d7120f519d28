//! The gateway's routes: messages as signed requests, and sockets. A webhook's signature is its authentication, and nothing of a
//! body is read for a message that cannot have one; a socket has an API key like any request, and keeps its place among the
//! connections. What the gateway refuses becomes a problem like every other.

pub(super) mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use haversack_gateway::platform::webhook;
use haversack_gateway::platform::websocket::{self, Authenticate, Held, Peer};
use haversack_gateway::{Gateway, GatewayError};
use http::{Method, StatusCode};

use super::json::whole;
use super::room::Place;
use super::{App, access};
use crate::code::Code;
use crate::problem::Fault;

/// `POST /gateway/webhook/{account}` and `GET /gateway/ws`.
pub(super) fn routes(app: &App, gateway: &Gateway) -> Router<App> {
    let webhooks = webhook::router(gateway.clone())
        .layer(from_fn(refusals))
        .layer(from_fn_with_state((app.clone(), gateway.clone()), body));
    let sockets = websocket::router(gateway.clone(), authenticate(app))
        .layer(from_fn(refusals))
        .layer(from_fn(keeps_its_place))
        .route_layer(from_fn_with_state(app.clone(), access::authenticate));
    webhooks.merge(sockets).with_state(())
}

/// The body within its time, and not larger than a message may be. First its head: a stranger is not read to the end.
async fn body(
    State((app, gateway)): State<(App, Gateway)>,
    Path(account): Path<String>,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    webhook::check_head(&gateway, &account, request.headers())?;
    let (parts, body) = request.into_parts();
    let bytes = whole(&app, &parts.headers, body, app.message_bytes).await?;
    let place = parts.extensions.get::<Place>().cloned();
    let response = next.run(Request::from_parts(parts, bytes.into())).await;
    if let Some(place) = place.filter(|_| response.status().is_success()) {
        place.is_known();
    }
    Ok(response)
}

/// A socket is a connection for as long as it is open, and not only until its upgrade.
async fn keeps_its_place(mut request: Request, next: Next) -> Response {
    if let Some(place) = request.extensions_mut().remove::<Place>() {
        request.extensions_mut().insert(Held::new(Arc::new(place)));
    }
    next.run(request).await
}

/// What the gateway refuses, as a problem with its code.
async fn refusals(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<Arc<GatewayError>>().and_then(Arc::into_inner) {
        return Fault::from(error).into_response();
    }
    match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Fault::new(Code::BodyTooLarge, "The message is larger than this server takes.").into_response()
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Fault::new(Code::MethodNotAllowed, "This path does not take this method.").into_response()
        }
        _ => response,
    }
}

/// Who is at the other end of a socket: whose key it is. The key was looked at before, with its refusals; here it is asked
/// whose.
fn authenticate(app: &App) -> Authenticate {
    let app = app.clone();
    Arc::new(move |headers| {
        let app = app.clone();
        Box::pin(async move {
            let caller = app.keyring.authenticate(&headers).await.ok()?;
            Some(Peer { tenant: caller.tenant, principal: caller.principal })
        })
    })
}
