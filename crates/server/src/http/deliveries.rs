//! Deliveries: what was to be said to the caller on other platforms, and in shared conversations in which the caller spoke,
//! and what became of it. The ledger reads tenant and principal from the context, and gives no words back.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use haversack_gateway::ledger::Delivery;

use super::App;
use super::schema::Refused;
use crate::code::Code;
use crate::problem::{Fault, Problem};

/// Deliveries when nothing is asked for.
const SOME: usize = 50;

/// Deliveries at most.
const MOST: usize = 500;

/// How many are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    limit: Option<usize>,
}

/// Some deliveries, the newest first.
#[derive(Debug, Serialize)]
pub(super) struct List {
    deliveries: Vec<Delivery>,
}

/// A delivery, without its words.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryView {
    /// Its id.
    id: String,
    /// `pending`, `attempting`, `delivered`, `failed` or `abandoned`.
    state: String,
    /// How often it was tried.
    attempts: u32,
    /// When it was said, milliseconds since the Unix epoch, UTC.
    created_at: i64,
    /// When it ended; `null` while it has not.
    ended_at: Option<i64>,
    /// Why it ended as it did: a short fixed word.
    reason: Option<String>,
}

/// Deliveries of a principal, the newest first.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryList {
    /// The deliveries.
    deliveries: Vec<DeliveryView>,
}

/// List what was to be said to you, and in conversations in which you spoke, on other platforms, the newest first. The words are not in it.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", security(("api_key" = ["member"])),
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 50 when absent.")),
    responses(
        Refused,
        (status = 200, description = "The deliveries.", body = DeliveryList),
        (status = 422, description = "HV0212", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<List>, Fault> {
    let limit = limit(asked)?;
    let shared = app.engine.agents().history()?.shared_with().await?;
    Ok(Json(List::of(app.engine.desk().ledger().list_with(shared, limit).await?)))
}

impl List {
    pub(super) fn of(deliveries: Vec<Delivery>) -> Self {
        Self { deliveries }
    }
}

/// How many deliveries are asked for.
pub(super) fn limit(asked: Result<Query<Asked>, QueryRejection>) -> Result<usize, Fault> {
    let limit = asked.ok().map(|Query(asked)| asked.limit.unwrap_or(SOME));
    limit
        .filter(|limit| (1..=MOST).contains(limit))
        .ok_or_else(|| Fault::new(Code::FieldInvalid, "`limit` is a number from 1 to 500."))
}
