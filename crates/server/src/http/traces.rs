//! The tree of a turn: its units of work and the context each ran under. The ring reads the reader's tenant
//! and principal from the context, so a turn of somebody else looks like one that never was.

use axum::Json;
use axum::extract::State;

use super::App;
use super::schema::{NoTurn, Refused};
use super::wire::TurnPath;
use crate::code::Code;
use crate::problem::Fault;
use crate::telemetry::TurnTree;

/// The tree of a turn, with the redacted bindings of each unit of work and where each was bound.
#[utoipa::path(get, path = "/v1/turns/{turn}/context", tag = "turns", security(("api_key" = [])),
    params(("turn" = String, Path, description = "The turn's id.")),
    responses(
        Refused,
        NoTurn,
        (status = 200, description = "The tree.", body = TurnTree),
    ))]
pub(super) async fn show(State(app): State<App>, TurnPath(turn): TurnPath) -> Result<Json<TurnTree>, Fault> {
    let tree = app.engine.telemetry().ring().turn(&turn.to_string())?;
    let gone = "The server holds no tree of such a turn of yours; it keeps the most recent ones.";
    tree.map(Json).ok_or_else(|| Fault::new(Code::TurnNotFound, gone))
}
