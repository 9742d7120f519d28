//! Messages that come in as signed requests.
//!
//! The signature is checked on the bytes as they came, before anything in them is believed; the id that was signed is the
//! message's. What stands in the head, the account, the form of the signature and its time, is looked at before the body is read. With a callback the answer goes there and the request is told "accepted"; without one the request waits for
//! its answer, and nothing can be said later. Mounted by the program.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use haversack_store::now_millis;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{WEBHOOK, WebhookConfig, sign};
use crate::GatewayError;
use crate::account::Account;
use crate::gateway::{Gateway, Incoming, Receipt};
use crate::message::{Attachment, Chat, ChatKind, Id, Message, Sender};

/// `POST /gateway/webhook/{account}`. A refusal carries its [`GatewayError`] in an `Arc` among the extensions of the response.
pub fn router(gateway: Gateway) -> Router {
    // Attachments come as base64, four letters for three bytes, and JSON may escape text up to six-fold.
    let limits = gateway.limits();
    let most = limits.attached / 3 * 4 + limits.text * 6 + 64 * 1024;
    Router::new()
        .route(
            "/gateway/webhook/{account}",
            post(receive).route_layer(from_fn_with_state(gateway.clone(), look_first)),
        )
        .layer(DefaultBodyLimit::max(most))
        .with_state(gateway)
}

/// What can be said of a message before its body is read: that its account exists, and that somebody signed it. A program that
/// reads bodies itself asks first.
///
/// # Errors
/// [`GatewayError::BadSignature`], also for an account that does not exist.
pub fn check_head(gateway: &Gateway, account: &str, headers: &HeaderMap) -> Result<(), GatewayError> {
    head(gateway, account, headers).map(|_| ())
}

async fn look_first(
    State(gateway): State<Gateway>,
    Path(account): Path<String>,
    request: Request,
    next: Next,
) -> Response {
    match check_head(&gateway, &account, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
struct Body {
    chat: BodyChat,
    #[serde(default)]
    thread: Option<Id>,
    #[serde(default)]
    scope: Id,
    sender: BodySender,
    text: String,
    #[serde(default)]
    callback: Option<String>,
    #[serde(default)]
    attachments: Vec<BodyAttachment>,
}

#[derive(Deserialize)]
struct BodyChat {
    id: Id,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: ChatKind,
}

#[derive(Deserialize)]
struct BodySender {
    id: Id,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct BodyAttachment {
    name: String,
    #[serde(default)]
    media_type: String,
    content: String,
}

/// What the other side is told. Every answer has a status and what belongs to it.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Told {
    Accepted,
    Answered { text: String },
    Duplicate,
    Pairing { code: String },
    Refused { detail: String },
}

async fn receive(
    State(gateway): State<Gateway>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match take(&gateway, &account, &headers, body).await {
        Ok((status, told)) => (status, Json(told)).into_response(),
        Err(error) => {
            if !error.is_refusal() {
                tracing::error!(error = %error, "a webhook message failed");
            }
            refused(error)
        }
    }
}

pub(crate) fn refused(error: GatewayError) -> Response {
    let told = Json(Told::Refused { detail: error.to_string() });
    let mut response = (status_of(&error), told).into_response();
    if let GatewayError::TooFast { after_s } = error {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after_s));
    }
    // For a program whose errors have a form of their own.
    response.extensions_mut().insert(Arc::new(error));
    response
}

async fn take(
    gateway: &Gateway,
    account: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Told), GatewayError> {
    let (account, signed) = head(gateway, account, headers)?;
    let reading = Arc::clone(&account);
    // Megabytes are hashed, parsed and decoded: not on a worker of the runtime.
    let read = haversack::spawn_blocking(move || {
        signed.verify(&reading, &body)?;
        read(&reading, signed.id, &body)
    });
    let message = read.await.map_err(|_| GatewayError::NotAnswered)??;
    if let Some(callback) = &message.callback {
        account.webhook.callbacks.allow(callback)?;
    }
    let deliver_later = message.callback.is_some();
    let incoming = Incoming { platform: WEBHOOK, message, deliver_later };
    Ok(match gateway.receive(incoming).await? {
        Receipt::Duplicate => (StatusCode::OK, Told::Duplicate),
        Receipt::Pairing { code } => (StatusCode::FORBIDDEN, Told::Pairing { code }),
        Receipt::Done { text } => (StatusCode::OK, Told::Answered { text }),
        Receipt::Taken(_) if deliver_later => (StatusCode::ACCEPTED, Told::Accepted),
        Receipt::Taken(turn) => (StatusCode::OK, Told::Answered { text: turn.answer().await?.text }),
    })
}

/// What the head says of a signature.
struct Signed {
    id: String,
    time: i64,
    signatures: String,
}

fn head(
    gateway: &Gateway,
    account: &str,
    headers: &HeaderMap,
) -> Result<(Arc<Account>, Signed), GatewayError> {
    let header =
        |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(GatewayError::BadSignature);
    let (id, time, signatures) = (header(sign::ID)?, header(sign::TIME)?, header(sign::SIGNATURE)?);
    let time: i64 = time.parse().map_err(|_| GatewayError::BadSignature)?;
    if !sign::has_form(signatures) {
        return Err(GatewayError::BadSignature);
    }
    // An account that does not exist and a signature that does not fit are one answer: names are not told to strangers.
    let account = gateway.accounts().get(WEBHOOK, account).map_err(|_| GatewayError::BadSignature);
    let window =
        account.as_ref().map_or(WebhookConfig::default().window_s, |account| account.webhook.window_s);
    // A time that no signature makes good.
    sign::in_time(time, window, now_millis() / 1000)?;
    let account = account?;
    let signed = Signed { id: id.to_owned(), time, signatures: signatures.to_owned() };
    Ok((account.clone(), signed))
}

impl Signed {
    /// Demands that the signature is good.
    fn verify(&self, account: &Account, body: &[u8]) -> Result<(), GatewayError> {
        let Self { id, time, signatures } = self;
        let config = &account.webhook;
        sign::verify(&config.secrets, id, *time, body, signatures, config.window_s, now_millis() / 1000)
    }
}

fn read(account: &Account, id: String, body: &[u8]) -> Result<Message, GatewayError> {
    let body: Body =
        serde_json::from_slice(body).map_err(|_| GatewayError::Malformed { what: "the body" })?;
    let attachments = body.attachments.into_iter().map(|attachment| {
        let bytes = STANDARD
            .decode(&attachment.content)
            .map_err(|_| GatewayError::Malformed { what: "the content of an attachment" })?;
        Ok(Attachment { name: attachment.name, media_type: attachment.media_type, bytes })
    });
    Ok(Message {
        account: account.name.clone(),
        id,
        chat: Chat { id: body.chat.id.into(), name: body.chat.name, kind: body.chat.kind },
        thread: body.thread.map(String::from).filter(|thread| !thread.is_empty()),
        scope: body.scope.into(),
        sender: Sender { id: body.sender.id.into(), name: body.sender.name },
        text: body.text,
        attachments: attachments.collect::<Result<_, GatewayError>>()?,
        callback: body.callback,
    })
}

fn status_of(error: &GatewayError) -> StatusCode {
    match error {
        GatewayError::BadSignature | GatewayError::Stale => StatusCode::UNAUTHORIZED,
        GatewayError::UnknownAccount | GatewayError::UnknownUser | GatewayError::PairingFull => {
            StatusCode::FORBIDDEN
        }
        GatewayError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        GatewayError::Malformed { .. } | GatewayError::CallbackNotAllowed => StatusCode::UNPROCESSABLE_ENTITY,
        GatewayError::QueueFull | GatewayError::TooFast { .. } | GatewayError::TooManySockets { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        GatewayError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
