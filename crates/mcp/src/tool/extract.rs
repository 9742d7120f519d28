//! What a tool may ask for: typed arguments that are made fresh for each call.
//!
//! Only [`Args`] shows in the schema of a tool; everything else comes from the context of the call, and no model can
//! write it. A type of one's own takes part by implementing [`FromCall`].

use haversack::Variable;
use haversack::well_known::{
    CANCEL, Cancel, DEADLINE, Deadline, PRINCIPAL, Principal, REQUEST_ID, RequestId, SESSION_ID, SessionId,
    TENANT_ID, TenantId,
};
use haversack_agent::tool::{ToolError, parameters_of};
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken, HEADERS, Headers, NoToken};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::progress::{PROGRESS, Progress};

/// One call of a tool: what the model wrote. Everything else is in the current context.
#[derive(Debug)]
pub struct Call {
    arguments: Value,
}

impl Call {
    pub(super) fn new(arguments: Value) -> Self {
        Self { arguments }
    }

    /// What the model wrote, of any shape.
    #[must_use]
    pub fn arguments(&self) -> &Value {
        &self.arguments
    }
}

/// Something that a tool may take as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a tool can take as an argument",
    note = "what the model writes is `Args<T>`; other types come from the context and implement `FromCall`"
)]
pub trait FromCall: Sized + Send + 'static {
    /// The variables that must be bound, or the tool is not called at all.
    const NEEDS: &'static [&'static dyn Variable] = &[];

    /// The JSON schema of the part that the model writes, if this is it.
    fn schema() -> Option<Value> {
        None
    }

    /// Makes it, inside the context of the call.
    ///
    /// # Errors
    /// [`ToolError`] fails the call before the tool's own code runs.
    fn from_call(call: &Call) -> Result<Self, ToolError>;
}

/// What the model writes, read as `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args<T>(
    /// The arguments.
    pub T,
);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> FromCall for Args<T> {
    fn schema() -> Option<Value> {
        Some(parameters_of::<T>())
    }

    fn from_call(call: &Call) -> Result<Self, ToolError> {
        let read = serde_json::from_value(call.arguments.clone());
        read.map(Self).map_err(|error| ToolError::Arguments { detail: error.to_string() })
    }
}

macro_rules! from_context {
    ($($type:ty: $variable:ident),* $(,)?) => {$(
        impl FromCall for $type {
            const NEEDS: &'static [&'static dyn Variable] = &[&$variable];

            fn from_call(_: &Call) -> Result<Self, ToolError> {
                Ok($variable.get()?)
            }
        }
    )*};
}

from_context! {
    TenantId: TENANT_ID,
    Principal: PRINCIPAL,
    SessionId: SESSION_ID,
    RequestId: REQUEST_ID,
}

/// The headers that the program lets through; none where there are none.
impl FromCall for Headers {
    fn from_call(_: &Call) -> Result<Self, ToolError> {
        Ok(HEADERS.bound().unwrap_or_default())
    }
}

/// The caller's token. An expired one fails the call.
impl FromCall for AccessToken {
    const NEEDS: &'static [&'static dyn Variable] = &[&ACCESS_TOKEN];

    fn from_call(_: &Call) -> Result<Self, ToolError> {
        let token = ACCESS_TOKEN.get()?;
        match token.reveal() {
            Ok(_) => Ok(token),
            Err(NoToken::Expired) => Err(ToolError::Refused("the access token has expired; get a new one")),
            Err(NoToken::Anonymous) => Err(ToolError::Refused("the task runs without an access token")),
        }
    }
}

/// Where nobody can cancel, one that is never cancelled.
impl FromCall for Cancel {
    fn from_call(_: &Call) -> Result<Self, ToolError> {
        Ok(CANCEL.bound().unwrap_or_default())
    }
}

/// Where nobody listens, one that says nothing.
impl FromCall for Progress {
    fn from_call(_: &Call) -> Result<Self, ToolError> {
        Ok(PROGRESS.bound().unwrap_or_default())
    }
}

impl FromCall for Option<Deadline> {
    fn from_call(_: &Call) -> Result<Self, ToolError> {
        Ok(DEADLINE.bound())
    }
}
