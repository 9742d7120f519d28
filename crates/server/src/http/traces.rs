//! Trees: of a turn, and of everything that one arrival caused, with the context that each unit of work ran under.
//! Ring and journal read the reader's tenant and principal from the context, so what somebody else did looks like what
//! never was.

use axum::Json;
use axum::extract::State;

use super::App;
use super::schema::{NoTrace, NoTurn, Refused};
use super::wire::{TracePath, TurnPath};
use crate::code::Code;
use crate::problem::Fault;
use crate::telemetry::{TraceTree, TurnTree};

/// The tree of a turn, with the redacted bindings of each unit of work and where each was bound.
#[utoipa::path(get, path = "/v1/turns/{turn}/context", tag = "turns", security(("api_key" = ["member"])),
    params(("turn" = String, Path, description = "The turn's id.")),
    responses(
        Refused,
        NoTurn,
        (status = 200, description = "The tree.", body = TurnTree),
    ))]
pub(super) async fn show(State(app): State<App>, TurnPath(turn): TurnPath) -> Result<Json<TurnTree>, Fault> {
    let tree = app.engine.telemetry().ring().turn(&turn.to_string())?;
    let gone = "The server holds no tree of such a turn of yours; it keeps the most recent ones.";
    let tree = tree.map(TurnTree::for_its_reader).map(Json);
    tree.ok_or_else(|| Fault::new(Code::TurnNotFound, gone))
}

/// Everything that one arrival caused: turns, jobs, runs and deliveries, in whatever process they ran.
#[utoipa::path(get, path = "/v1/context/{id}", tag = "context", security(("api_key" = ["member"])),
    params(("id" = String, Path, description = "The id of a turn, a job, a run, a delivery, a request or a trace.")),
    responses(
        Refused,
        NoTrace,
        (status = 200, description = "The whole trace.", body = TraceTree),
    ))]
pub(super) async fn trace(
    State(app): State<App>,
    TracePath(id): TracePath,
) -> Result<Json<TraceTree>, Fault> {
    let trace = app.engine.journal().trace(&id).await?;
    trace.map(TraceTree::for_its_reader).map(Json).ok_or_else(no_trace)
}

/// The answer for what is not there, is not the reader's, and cannot be.
pub(super) fn no_trace() -> Fault {
    Fault::new(Code::TraceNotFound, "Nothing of yours that was done and is still known has this id.")
}
