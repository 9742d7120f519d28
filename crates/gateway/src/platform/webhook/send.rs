//! Answers to the callback that a message named, signed.
//!
//! One `POST` a part. What the other side says is sorted into "later", "refused" and "gone", and its text is not read. The
//! account is looked up again and must belong to the tenant of the delivery, and the callback must still be allowed.

use std::time::Duration;

use haversack::FutureExt;
use haversack::propagator::Propagator;
use haversack::well_known::TENANT_ID;
use http::StatusCode;
use reqwest::{Client, ClientBuilder};
use serde::Serialize;

use super::{WEBHOOK, sign};
use crate::ReplyRoute;
use crate::account::Accounts;
use crate::platform::{Part, Platform, SendError, Sending};
use haversack_store::now_millis;

/// What leaves in the headers of an answer, where the account says so: the trace and nothing else.
static WIRE: Propagator = Propagator::new();

/// The longest a platform may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A client as the sender wants it: it follows no redirect, because only the first address was allowed, and asks no proxy of
/// the environment. The program adds its provider of cryptography.
pub fn client() -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
}

/// Sends to callbacks.
pub(crate) struct Sender {
    accounts: Accounts,
    client: Client,
    max_chars: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    account: &'a str,
    chat: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<&'a str>,
    text: &'a str,
    part: usize,
    parts: usize,
    redelivery: bool,
}

impl Sender {
    pub(crate) fn new(accounts: Accounts, client: Client) -> Self {
        // All parts are cut alike, so that a delivery goes on where it stopped: the strictest account decides.
        let shortest = accounts.iter().filter(|account| account.platform == WEBHOOK);
        let max_chars = shortest.map(|account| account.webhook.max_chars).min().unwrap_or(4000);
        Self { accounts, client, max_chars }
    }

    fn request(&self, route: &ReplyRoute, part: &Part) -> Result<reqwest::RequestBuilder, SendError> {
        let account = self.accounts.get(WEBHOOK, route.account()).map_err(|_| SendError::Gone)?;
        if TENANT_ID.bound().is_none_or(|tenant| tenant != account.tenant) {
            return Err(SendError::Refused);
        }
        let callback = route.callback().ok_or(SendError::Refused)?;
        let url = account.webhook.callbacks.allow(callback).map_err(|_| SendError::Refused)?;
        let secret = account.webhook.secrets.first().ok_or(SendError::Refused)?;
        let body = Body {
            account: route.account(),
            chat: route.chat(),
            thread: route.thread(),
            in_reply_to: route.message(),
            text: &part.text,
            part: part.number,
            parts: part.of,
            redelivery: part.again,
        };
        let body = serde_json::to_vec(&body).map_err(|_| SendError::Refused)?;
        let time = now_millis() / 1000;
        let mut trace = http::HeaderMap::new();
        if account.webhook.traced.allow(callback).is_ok() {
            WIRE.inject(&mut trace);
        }
        Ok(self
            .client
            .post(url)
            .headers(trace)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(sign::ID, &part.id)
            .header(sign::TIME, time.to_string())
            .header(sign::SIGNATURE, sign::sign(secret, &part.id, time, &body))
            .body(body))
    }
}

impl Platform for Sender {
    fn name(&self) -> &'static str {
        WEBHOOK
    }

    fn max_chars(&self) -> usize {
        self.max_chars
    }

    fn send(&self, route: ReplyRoute, part: Part) -> Sending {
        let request = self.request(&route, &part);
        Box::pin(
            async move {
                let answer = request?.send().await.map_err(|error| {
                    match error.is_connect() || error.is_builder() {
                        true => SendError::Later { after: None },
                        // The request was on its way.
                        false => SendError::Unsure,
                    }
                })?;
                let wait = answer
                    .headers()
                    .get(http::header::RETRY_AFTER)
                    .and_then(|wait| wait.to_str().ok()?.parse().ok());
                sort(answer.status(), wait.map(Duration::from_secs))
            }
            .in_current_context(),
        )
    }
}

fn sort(status: StatusCode, wait: Option<Duration>) -> Result<(), SendError> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(SendError::Gone),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError::Later { after: wait.map(|wait| wait.min(LONGEST_WAIT)) })
        }
        status if status.is_server_error() => {
            Err(SendError::Later { after: wait.map(|wait| wait.min(LONGEST_WAIT)) })
        }
        _ => Err(SendError::Refused),
    }
}
