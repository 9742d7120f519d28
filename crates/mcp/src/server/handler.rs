//! The handler of messages: binds the caller's context again, then answers.
//!
//! rmcp runs a handler in a task of its own, where nothing is bound. Each method here finds the caller of its message,
//! enters the door `mcp` as that caller, and works inside. One handler serves one connection, and keeps nothing of
//! whoever began it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{Cancel, Deadline};
use haversack::{Context, Refused, Visit};
use http::request::Parts as HttpParts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CreateTaskResult, ErrorCode, GetTaskParams,
    GetTaskResult, Implementation, InitializeRequestParams, InitializeResult, ListToolsResult, MetaObject,
    PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;
use tracing::Instrument;

use super::answer::{internal, no_context, no_tool, refused, task_error, too_many};
use super::call::{run, until_cancelled};
use super::sessions::{OwnedSessions, Serving};
use super::web::{MCP_SESSION, SESSION_HEADER};
use super::{McpServer, Parts};
use crate::caller::Caller;
use crate::door::{self, Message};
use crate::task::{Finished, Task, TaskCall, TaskError, Tasks, wire};
use crate::tool::{Hints, Offered, Progress, TaskMode};

/// The key in `_meta` under which a client may name its session.
pub(super) const SESSION_META: &str = "haversack/session";
/// The prefix of session names that clients choose, so that no other kind of name equals one.
pub(super) const NAMED: &str = "named:";
/// The key in `_meta` under which a tool says whether it answers through tasks.
const TASK_META: &str = "haversack/taskSupport";

/// Where the caller of a message is found.
#[derive(Clone)]
pub(super) enum Source {
    /// In the extensions of the HTTP request that brought it. What is served in a session keeps it from being idle.
    Http(Arc<OwnedSessions>),
    /// The program says, for each message of this connection.
    Program {
        /// Enters the program's door.
        enter: Arc<dyn Fn() -> Result<Visit, Refused> + Send + Sync>,
        /// The name of the connection, which is that of its session where the program binds none.
        connection: Arc<str>,
    },
}

/// Answers the messages of one connection.
#[derive(Clone)]
pub(super) struct Handler {
    parts: Arc<Parts>,
    source: Source,
    #[cfg(feature = "mutants")]
    began: Option<Caller>,
}

/// A message on its way into its context.
struct Arrival {
    caller: Caller,
    cancel: Cancel,
    /// What is left for the answer.
    limit: Duration,
    visit: Visit,
    /// Keeps the program's own entry open for as long as the call runs.
    _outer: Option<Visit>,
    /// Keeps the session of the transport from being idle, also when nobody waits for the answer.
    _serving: Option<Serving>,
}

impl Handler {
    pub(super) fn new(server: &McpServer, source: Source) -> Self {
        #[cfg(feature = "mutants")]
        let began = match &source {
            Source::Http(_) => Caller::current().ok(),
            Source::Program { enter, .. } => enter().ok().and_then(|visit| visit.run(Caller::current).ok()),
        };
        Self {
            parts: Arc::clone(&server.parts),
            source,
            #[cfg(feature = "mutants")]
            began,
        }
    }

    /// Who sent this message: not who began the connection.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<(Caller, Option<Visit>), ErrorData> {
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::McpRebind)
            && let Some(began) = &self.began
        {
            return Ok((began.clone(), None));
        }
        match &self.source {
            Source::Http(_) => {
                let parts = context.extensions.get::<HttpParts>();
                let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
                Ok((caller.cloned().ok_or_else(|| internal("a message without its caller"))?, None))
            }
            Source::Program { enter, .. } => {
                let outer = enter().map_err(|error| refused(&error))?;
                let caller = outer.run(Caller::current).map_err(|missing| no_context(&missing))?;
                Ok((caller, Some(outer)))
            }
        }
    }

    fn arrive(&self, context: &RequestContext<RoleServer>) -> Result<Arrival, ErrorData> {
        let (mut caller, outer) = self.caller(context)?;
        caller.in_session(&self.session_of(context));
        let cancel = caller.cancel.as_ref().map_or_else(Cancel::new, Cancel::child);
        let limit = self.parts.options.call_timeout;
        let limit = caller.deadline.map_or(limit, |deadline| deadline.remaining().min(limit));
        let message = Message {
            cancel: cancel.clone(),
            deadline: Deadline::after(limit),
            progress: Progress::to(context.peer.clone(), context.meta.get_progress_token()),
        };
        let visit = door::enter(&caller, message).map_err(|error| refused(&error))?;
        let serving = match &self.source {
            Source::Http(sessions) => header(context, MCP_SESSION).and_then(|id| sessions.serve(id)),
            Source::Program { .. } => None,
        };
        Ok(Arrival { caller, cancel, limit, visit, _outer: outer, _serving: serving })
    }

    /// The session that the client names, in the message or in a header; else that of the transport or of the connection.
    /// Revisions without sessions have neither, so a principal has one session there.
    fn session_of(&self, context: &RequestContext<RoleServer>) -> String {
        let named = context.meta.0.0.get(SESSION_META).and_then(Value::as_str);
        if let Some(name) = named.or_else(|| header(context, SESSION_HEADER)) {
            return format!("{NAMED}{name}");
        }
        match (&self.source, header(context, MCP_SESSION)) {
            (Source::Program { connection, .. }, _) => connection.to_string(),
            (Source::Http(_), Some(id)) => format!("transport:{id}"),
            (Source::Http(_), None) => "default".to_owned(),
        }
    }

    /// Answers one message inside its context.
    async fn inside<R, F>(
        &self,
        method: &'static str,
        context: RequestContext<RoleServer>,
        answer: impl FnOnce(Duration) -> F,
    ) -> Result<R, ErrorData>
    where
        F: Future<Output = Result<R, ErrorData>>,
    {
        let Arrival { caller, cancel, limit, visit, _outer, _serving } = self.arrive(&context)?;
        let work = visit.run(|| {
            let span = tracing::info_span!(parent: &caller.span, "mcp", method, tool = tracing::field::Empty);
            let answering = answer(limit);
            let told = async move {
                let answered = answering.await;
                tracing::debug!(method, ok = answered.is_ok(), "a message was answered");
                answered
            };
            told.instrument(span)
        });
        let withdrawn = self.parts.options.withdrawn.as_ref().map(|withdrawn| visit.run(|| withdrawn.wait()));
        let work = visit.wrap(work);
        let answering = until_cancelled(work, context.ct, cancel.clone(), self.parts.options.cancel_grace);
        let ending = async {
            match withdrawn {
                Some(withdrawn) => withdrawn.await,
                None => std::future::pending().await,
            }
            cancel.cancel();
            std::future::pending::<Infallible>().await
        };
        let answered = tokio::select! {
            answered = answering => answered,
            never = ending => match never {},
        };
        // Nobody reads the answer to a cancelled message; it ends the message for the transport.
        answered.unwrap_or_else(|cancelled| Err(ErrorData::internal_error(cancelled.to_string(), None)))
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let options = &self.parts.options;
        let tools = ServerCapabilities::builder().enable_tools();
        let capabilities =
            if self.parts.tasks.is_some() { tools.enable_tasks().build() } else { tools.build() };
        let mut info = ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(options.name.clone(), options.version.clone()));
        info.instructions.clone_from(&options.instructions);
        info
    }

    /// The extension of tasks is not shown here, because no revision that has it begins so.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut answer = self.negotiate_initialize(&request)?;
        answer.capabilities.extensions = None;
        Ok(answer)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let parts = Arc::clone(&self.parts);
        self.inside("tools/list", context, |_| async move {
            let here = Context::current();
            let shown = parts.offer.iter().filter(|offered| parts.shows(offered) && can_run(offered, &here));
            Ok(ListToolsResult::with_all_items(shown.map(described).collect()))
        })
        .await
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = Arc::clone(&self.parts);
        let speaks_tasks = speaks_tasks(&context);
        self.inside("tools/call", context, |limit| async move {
            let Offered { tool, mode, .. } = parts.shown(&request.name).ok_or_else(no_tool)?.clone();
            tracing::Span::current().record("tool", tool.spec().name.as_str());
            let arguments = Value::Object(request.arguments.unwrap_or_default());
            match (&parts.tasks, mode) {
                (Some(tasks), TaskMode::Required | TaskMode::Optional) if speaks_tasks => {
                    let call = TaskCall::new(&tool.spec().name, &parts.options.version, arguments);
                    begin(tasks.as_ref(), call, &parts).await
                }
                (_, TaskMode::Required) => Err(wire::must_speak_tasks()),
                _ => {
                    let place = parts.places.take().map_err(|missing| no_context(&missing))?;
                    let Some(_place) = place else { return Ok(CallToolResponse::Complete(too_many())) };
                    let finished = Finished::of(run(tool, arguments, Some(limit)).await);
                    Ok(CallToolResponse::Complete(finished.into_result()))
                }
            }
        })
        .await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        no_tasks(&context, "tasks/get")?;
        let parts = Arc::clone(&self.parts);
        self.inside("tasks/get", context, |_| async move {
            let (_, task) = find(&parts, &request.task_id).await?;
            let detailed = wire::detailed(task, &parts.options).map_err(|error| task_error(&error))?;
            Ok(GetTaskResult::new(detailed))
        })
        .await
    }

    /// No task of this server asks for input, so there is nothing to take; the task must be the caller's all the same.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        no_tasks(&context, "tasks/update")?;
        let parts = Arc::clone(&self.parts);
        self.inside(
            "tasks/update",
            context,
            |_| async move { find(&parts, &request.task_id).await.map(drop) },
        )
        .await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        no_tasks(&context, "tasks/cancel")?;
        let parts = Arc::clone(&self.parts);
        self.inside("tasks/cancel", context, |_| async move {
            let (tasks, _) = find(&parts, &request.task_id).await?;
            tasks.cancel(&request.task_id).await.map_err(|error| task_error(&error))
        })
        .await
    }
}

async fn begin(tasks: &dyn Tasks, call: TaskCall, parts: &Parts) -> Result<CallToolResponse, ErrorData> {
    let task = tasks.create(call).await.map_err(|error| task_error(&error))?;
    let seed = wire::task(&task, &parts.options).map_err(|error| task_error(&error))?;
    Ok(CallToolResponse::Task(CreateTaskResult::new(seed)))
}

/// A task of the caller whose time is not up.
async fn find<'a>(parts: &'a Parts, id: &str) -> Result<(&'a dyn Tasks, Task), ErrorData> {
    let unknown = || task_error(&TaskError::Unknown);
    let tasks = parts.tasks.as_deref().ok_or_else(unknown)?;
    let task = tasks.get(id).await.map_err(|error| task_error(&error))?;
    wire::within_ttl(&task, &parts.options).map_err(|error| task_error(&error))?;
    Ok((tasks, task))
}

/// Returns true if every variable that the tool needs is bound.
fn can_run(offered: &Offered, here: &Context) -> bool {
    offered.tool.needs().iter().all(|variable| variable.is_bound_in(here))
}

/// What clients are told about a tool.
fn described(offered: &Offered) -> Tool {
    let spec = offered.tool.spec();
    let schema = spec.parameters.as_object().cloned().unwrap_or_default();
    let mut tool = Tool::new(spec.name.clone(), spec.description.clone(), schema);
    let Hints { title, read_only, destructive, idempotent, open_world } = offered.hints.clone();
    tool.title.clone_from(&title);
    let hints = ToolAnnotations::from_raw(title, read_only, destructive, idempotent, open_world);
    tool.annotations = Some(hints).filter(|hints| *hints != ToolAnnotations::default());
    if offered.mode != TaskMode::Forbidden {
        let mut meta = MetaObject::default();
        meta.0.insert(TASK_META.to_owned(), offered.mode.as_str().into());
        tool.meta = Some(meta);
    }
    tool
}

/// A header of the HTTP request that brought the message.
fn header<'a>(context: &'a RequestContext<RoleServer>, name: &str) -> Option<&'a str> {
    context.extensions.get::<HttpParts>()?.headers.get(name)?.to_str().ok()
}

/// Returns true if the client may be given tasks. Only revisions from 2026-07-28 on have the extension, whatever a
/// client of an older one lists, and their messages say of which revision they are.
fn speaks_tasks(context: &RequestContext<RoleServer>) -> bool {
    let revision = context.meta.protocol_version();
    revision.is_some_and(|revision| revision.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
        && context.client_capabilities().is_some_and(|client| client.supports_tasks())
}

/// Tasks are asked for in a revision that has none.
fn no_tasks(context: &RequestContext<RoleServer>, method: &str) -> Result<(), ErrorData> {
    if speaks_tasks(context) {
        return Ok(());
    }
    let why =
        format!("there is no method `{method}` in this revision of the protocol; tasks came with 2026-07-28");
    Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, why, None))
}
