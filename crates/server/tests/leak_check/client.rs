//! A caller of the HTTP API, as a customer's program would be: a key, and JSON.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// One answer, as it came.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Caller {
    pub(crate) fn new(http: &reqwest::Client, base: &str, key: String) -> Self {
        Self { http: http.clone(), base: base.to_owned(), key }
    }

    pub(crate) async fn say(&self, session: &str, message: &str, key: &str) -> Answer {
        let request = self
            .http
            .post(format!("{}/v1/sessions/{session}/turns", self.base))
            .bearer_auth(&self.key)
            .header("Idempotency-Key", key)
            .json(&json!({ "message": message }));
        Self::answer(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str) -> Answer {
        Self::answer(self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        Answer { status, text }
    }
}
