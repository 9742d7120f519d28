//! How errors of the crates below become faults: one mapping each. Texts that may name files or variables
//! stay in the cause, which the log and the command line show and an HTTP answer does not.

use haversack::{ForeignContext, MissingContext, Refused};
use haversack_agent::{ConfigError as AgentConfigError, TurnError};
use haversack_gateway::GatewayError;
use haversack_jobs::JobError;
use haversack_memory::MemoryError;
use haversack_pipeline::PipelineError;
use haversack_store::{KeyFileError, StoreError};

use super::Fault;
use crate::code::Code;
use crate::config::ConfigError;

impl From<MissingContext> for Fault {
    fn from(error: MissingContext) -> Self {
        Self::caused(Code::MissingContext, "Work ran outside its context and was refused.", error)
    }
}

impl From<ForeignContext> for Fault {
    fn from(error: ForeignContext) -> Self {
        Self::caused(Code::ForeignContext, "Work met the context of another request and was refused.", error)
    }
}

impl From<Refused> for Fault {
    fn from(error: Refused) -> Self {
        Self::caused(Code::BoundaryRefused, "A door refused to open a context.", error)
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        Self::new(Code::ConfigInvalid, error.to_string())
    }
}

impl From<AgentConfigError> for Fault {
    fn from(error: AgentConfigError) -> Self {
        let code = match error {
            AgentConfigError::Model(_) | AgentConfigError::Secret { .. } => Code::ModelMisconfigured,
            _ => Code::ConfigInvalid,
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let (code, detail) = match error {
            StoreError::Unbound(missing) => return missing.into(),
            StoreError::Foreign(foreign) => return foreign.into(),
            StoreError::InUse { .. } => (Code::DataInUse, "The data folder is in use by another process."),
            StoreError::ReadOnly { .. } => (Code::DataNotWritable, "The data folder cannot be written."),
            StoreError::NewerSchema { .. } => {
                (Code::NewerSchema, "A data file was written by a newer version.")
            }
            StoreError::StampMismatch { .. } => {
                (Code::StampMismatch, "A data file belongs to another tenant.")
            }
            StoreError::Full { .. } => (Code::DiskFull, "There is no space left for data."),
            StoreError::BackupRefused { .. } => (Code::BackupRefused, "The backup or restore was refused."),
            StoreError::Closed => (Code::ShuttingDown, "The server is shutting down."),
            StoreError::Busy => {
                return Self::retry(
                    Code::StoreFailed,
                    "The store is busy. Nothing was written; try again.",
                    1,
                );
            }
            _ => (Code::StoreFailed, "The store could not be read or written."),
        };
        Self::caused(code, detail, error)
    }
}

impl From<MemoryError> for Fault {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Unbound(missing) => missing.into(),
            MemoryError::Foreign(foreign) => foreign.into(),
            MemoryError::Store(store) => store.into(),
            MemoryError::SessionOver => {
                Self::caused(Code::SessionNotFound, "The session was deleted meanwhile.", error)
            }
            other => Self::internal(other),
        }
    }
}

impl From<TurnError> for Fault {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::Unbound(missing) => missing.into(),
            TurnError::Foreign(foreign) => foreign.into(),
            TurnError::Store(store) => store.into(),
            TurnError::Memory(memory) => memory.into(),
            TurnError::Internal(_) => Self::internal(error),
            TurnError::Empty => Self::new(Code::FieldInvalid, "`message` is empty."),
            // What is left speaks to the user: its text says what happened and what to do next.
            told => {
                let code = Code::find(told.code()).unwrap_or(Code::Internal);
                Self::caused(code, sentence(&told.to_string()), told)
            }
        }
    }
}

impl From<KeyFileError> for Fault {
    fn from(error: KeyFileError) -> Self {
        Self::new(Code::KeyFileUnusable, sentence(&error.to_string()))
    }
}

impl From<JobError> for Fault {
    fn from(error: JobError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            JobError::Unbound(missing) => missing.into(),
            JobError::Store(store) => store.into(),
            JobError::Keys(keys) => keys.into(),
            JobError::Capture(_) => {
                Self::caused(Code::ContextNotCarried, "The job was not submitted.", error)
            }
            JobError::Seal(_) => Self::caused(Code::SealRefused, "The job was not submitted.", error),
            JobError::Sealed => Self::new(Code::SealRefused, text),
            JobError::Name { .. } => Self::new(Code::JobRefused, text),
            JobError::Arguments(_) => Self::caused(Code::JobRefused, "The arguments are not JSON.", error),
            JobError::TooLarge { .. } => Self::new(Code::ArgumentsTooLarge, text),
            JobError::Unknown => Self::new(Code::JobNotFound, "You have no job with this id."),
            JobError::NotDrivable => Self::new(Code::JobConflict, text),
            JobError::NoRandomness => Self::internal(error),
        }
    }
}

impl From<PipelineError> for Fault {
    fn from(error: PipelineError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            PipelineError::Unbound(missing) => missing.into(),
            PipelineError::Foreign(foreign) => foreign.into(),
            PipelineError::Store(store) => store.into(),
            PipelineError::Keys(keys) => keys.into(),
            PipelineError::Capture(_) => {
                Self::caused(Code::ContextNotCarried, "The run was not written down.", error)
            }
            PipelineError::Seal(_) => Self::caused(Code::SealRefused, "The run was not written down.", error),
            PipelineError::Sealed => Self::new(Code::SealRefused, text),
            PipelineError::Yaml { .. } | PipelineError::Invalid(_) => Self::new(Code::PipelineInvalid, text),
            PipelineError::UnknownRun | PipelineError::UnknownAttempt => Self::new(Code::RunNotFound, text),
            PipelineError::BadKey
            | PipelineError::BadParameter { .. }
            | PipelineError::TakenOver
            | PipelineError::Stopped
            | PipelineError::NotHere(_)
            | PipelineError::NotFailed => Self::new(Code::RunRefused, text),
            other => Self::internal(other),
        }
    }
}

impl From<GatewayError> for Fault {
    fn from(error: GatewayError) -> Self {
        let text = error.to_string();
        match error {
            GatewayError::Config(_) => Self::new(Code::ConfigInvalid, text),
            GatewayError::UnknownAccount => Self::new(Code::AccountNotFound, "There is no such account."),
            GatewayError::UnknownUser => Self::new(Code::SenderUnknown, "The sender is not known here."),
            GatewayError::BadSignature | GatewayError::Stale => Self::new(Code::SignatureRefused, text),
            GatewayError::Unbound(missing) => missing.into(),
            GatewayError::Foreign(foreign) => foreign.into(),
            GatewayError::Store(error) => error.into(),
            GatewayError::ShuttingDown => Self::retry(Code::ShuttingDown, "The gateway is shutting down.", 5),
            GatewayError::QueueFull => Self::retry(Code::QueueFull, sentence(&text), 1),
            GatewayError::TooFast { after_s } => Self::retry(Code::TenantLimit, sentence(&text), after_s),
            GatewayError::TooManySockets { .. } => Self::retry(Code::TenantLimit, sentence(&text), 1),
            GatewayError::Interrupted => Self::new(Code::TurnCancelled, sentence(&text)),
            error if error.is_refusal() => Self::new(Code::MessageRefused, sentence(&text)),
            error => Self::internal(error),
        }
    }
}

/// A library's error text as a sentence for a user.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
