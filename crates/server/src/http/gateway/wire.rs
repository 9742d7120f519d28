//! What a webhook is sent and answers, for `/openapi.json`. The gateway reads and writes it; nothing makes values of these
//! types, and a law holds a real message and its answer against them.
#![allow(dead_code)] // documentation only, see above

use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A message of a platform.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhookMessage {
    /// Where it was written.
    chat: WebhookChat,
    /// In which thread, where there is one.
    thread: Option<String>,
    /// The workspace or guild.
    #[schema(default = "")]
    scope: Option<String>,
    /// Who wrote it.
    sender: WebhookSender,
    /// What it says.
    text: String,
    /// Where the answer goes, when the account allows its host. Without it the request waits for its answer.
    callback: Option<String>,
    /// What came with it.
    attachments: Option<Vec<WebhookAttachment>>,
}

/// A chat.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhookChat {
    /// Its id on the platform.
    id: String,
    /// What people call it.
    name: Option<String>,
    /// `direct` or `group`.
    #[schema(default = "direct")]
    r#type: Option<String>,
}

/// A sender, as the platform knows them.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhookSender {
    /// Their id on the platform.
    id: String,
    /// What people call them.
    name: Option<String>,
}

/// A file.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WebhookAttachment {
    /// Its name.
    name: String,
    /// What the sender says it is.
    media_type: Option<String>,
    /// The bytes, as base64.
    content: String,
}

/// What became of a message.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WebhookAnswer {
    /// `accepted`, `answered`, `duplicate` or `pairing`.
    status: String,
    /// The answer, when it is `answered`.
    text: Option<String>,
    /// What an operator is to be shown, when it is `pairing`.
    code: Option<String>,
}

/// Take a message of a platform, signed as Standard Webhooks describes. With a `callback` it is answered there, also when this
/// server is restarted before; without one, in the answer.
#[utoipa::path(post, path = "/gateway/webhook/{account}", tag = "messages", request_body = WebhookMessage,
    params(
        ("account" = String, Path, description = "The account's name, from the configuration."),
        ("webhook-id" = String, Header, description = "The id of the message; the same id is the same message."),
        ("webhook-timestamp" = i64, Header, description = "When it was signed, seconds since the Unix epoch."),
        ("webhook-signature" = String, Header,
            description = "`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; several are separated by spaces."),
    ),
    responses(
        (status = 200, description = "It was answered, or taken before.", body = WebhookAnswer),
        (status = 202, description = "It was accepted, and is answered to its callback.", body = WebhookAnswer),
        (status = 401, description = "HV0802, also when there is no such account", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "HV0803, or a code for an operator where the account pairs", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "HV0217", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "HV0210", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "HV0804", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "HV0220, HV0221, with `Retry-After`", body = Problem,
            content_type = "application/problem+json"),
        (status = 500, description = "HV0001, HV0002, HV0003, HV0106, HV0500", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "HV0102, HV0104, HV0105, HV0222", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(in crate::http) async fn webhook() {}
