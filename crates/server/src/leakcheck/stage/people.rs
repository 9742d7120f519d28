//! The people of the world: callers of the HTTP API, as a customer's program would be, with a key and JSON. They take
//! every answer as it comes, because a refusal is searched too.

use std::time::Duration;

use anyhow::Context;
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::Site;
use super::settings::CARRIED;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(120);

/// How long a connection is kept that nobody uses: shorter than the server keeps it, so that no request goes out on one that
/// is just being closed.
const IDLE: Duration = Duration::from_secs(2);

/// The two people of a tenant.
pub(super) struct People {
    pub(super) kim: Caller,
    pub(super) lee: Caller,
}

/// Somebody with a key.
#[derive(Clone)]
pub(in crate::leakcheck) struct Caller {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// Something to say.
pub(in crate::leakcheck) struct Say<'a> {
    pub(in crate::leakcheck) session: &'a str,
    pub(in crate::leakcheck) message: &'a str,
    /// The idempotency key.
    pub(in crate::leakcheck) key: &'a str,
    /// A token that comes along in a header that jobs take along, and in one that nobody asked for.
    pub(in crate::leakcheck) token: &'a str,
    /// Whether the answer is wanted as events.
    pub(in crate::leakcheck) events: bool,
}

/// One answer, as it came.
pub(in crate::leakcheck) struct Answer {
    pub(in crate::leakcheck) status: StatusCode,
    pub(in crate::leakcheck) headers: HeaderMap,
    pub(in crate::leakcheck) text: String,
}

/// A pair of callers for each tenant of a site.
pub(super) fn all(site: &Site, url: &str) -> anyhow::Result<Vec<People>> {
    crate::tls::install();
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).pool_idle_timeout(IDLE).build()?;
    let caller = |key: &String| Caller { http: http.clone(), base: url.to_owned(), key: key.clone() };
    Ok(site.keys().iter().map(|[kim, lee]| People { kim: caller(kim), lee: caller(lee) }).collect())
}

impl Answer {
    /// Whether the work was done and this is what came of it.
    pub(in crate::leakcheck) fn is_reply(&self) -> bool {
        // A stream begins well also where it does not end so.
        let unfinished = self.text.contains("event: ") && !self.text.contains("event: finished");
        self.status == StatusCode::OK && !unfinished
    }

    pub(in crate::leakcheck) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Caller {
    /// Says something in a session and waits for the answer.
    ///
    /// # Errors
    /// When there is none: the server is gone.
    pub(in crate::leakcheck) async fn say(&self, say: Say<'_>) -> anyhow::Result<Answer> {
        let accept = if say.events { "text/event-stream" } else { "application/json" };
        let request = self
            .request(Method::POST, &format!("/v1/sessions/{}/turns", say.session))
            .header("Idempotency-Key", say.key)
            .header(ACCEPT, accept)
            .header(CARRIED, say.token)
            .header(COOKIE, format!("token={}", say.token))
            .json(&json!({ "message": say.message }));
        answer(request).await
    }

    /// Sends a body that is none of the API's.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(in crate::leakcheck) async fn say_wrong(
        &self,
        session: &str,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        answer(self.request(Method::POST, &format!("/v1/sessions/{session}/turns")).json(body)).await
    }

    /// Posts a body with these headers.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(in crate::leakcheck) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let request = headers
            .iter()
            .fold(self.request(Method::POST, path), |request, (name, value)| request.header(*name, *value));
        answer(request.json(body)).await
    }

    /// Posts these bytes as they are, with these headers and without the key.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(in crate::leakcheck) async fn deliver(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let request = self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        answer(request.body(body)).await
    }

    /// Calls a path without a body.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(in crate::leakcheck) async fn call(&self, method: Method, path: &str) -> anyhow::Result<Answer> {
        answer(self.request(method, path)).await
    }

    /// Reads a path.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(in crate::leakcheck) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }
}

async fn answer(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await.context("the server under check does not answer")?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.context("the server under check broke off an answer")?;
    Ok(Answer { status, headers, text })
}
