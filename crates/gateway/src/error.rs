//! What can go wrong in the gateway, one small enum.
//!
//! A text says what happened and what to do next, and never quotes a message, an address or a secret. Variants that a
//! platform answers to its sender are told apart by [`GatewayError::is_refusal`].

use haversack::{ForeignContext, MissingContext, Refused};
use haversack_store::StoreError;

/// An error of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration contradicts itself.
    #[error("gateway configuration: {0}")]
    Config(String),
    /// No account of that name is configured for that platform.
    #[error("no such account is configured for this platform")]
    UnknownAccount,
    /// The sender is not known to the account, and the account does not pair.
    #[error("the sender is not known to this account; add them to its `users`")]
    UnknownUser,
    /// Too many strangers wait to be paired.
    #[error("too many pairings wait for an answer; answer or drop some")]
    PairingFull,
    /// The signature is missing or wrong, or was made for something else.
    #[error(
        "the signature does not belong to this message; check the secret, and that the body is signed as it is sent"
    )]
    BadSignature,
    /// The signature was made too long ago, or in the future.
    #[error("the message was signed outside the time window; check the sender's clock")]
    Stale,
    /// A part that has to be there is missing or unreadable.
    #[error("{what} is missing or not well-formed")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// A part is larger than allowed.
    #[error("{what} is too large: at most {most}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit, in bytes or pieces.
        most: usize,
    },
    /// The callback is not one that the account allows.
    #[error("answers may not be sent there; add the host to the account's `callbacks`")]
    CallbackNotAllowed,
    /// A command could not be confined.
    #[error("a command could not be confined: {0}")]
    NotConfined(haversack_child::ConfinementError),
    /// The session has as many messages waiting as it may.
    #[error("too many messages of this conversation are waiting; try again after an answer")]
    QueueFull,
    /// The tenant sends messages faster than it may. Nothing was written.
    #[error("this tenant sends messages faster than it may; try again in {after_s} s")]
    TooFast {
        /// When the next one may be taken, in seconds.
        after_s: u32,
    },
    /// The tenant has as many sockets open as it may.
    #[error("this tenant has {most} sockets open, which is as many as it may; close one first")]
    TooManySockets {
        /// The limit.
        most: usize,
    },
    /// The gateway is going down and takes no more messages.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The work was stopped: a newer message took its place, or the gateway went down.
    #[error("the work on this message was stopped")]
    Interrupted,
    /// The responder failed. What the sender is told is in the reply.
    #[error("the message was not answered")]
    NotAnswered,
    /// A turn ran under another session than the one it was queued for.
    #[error("a turn belongs to another session than the context says; nothing was run")]
    KeyMismatch,
    /// An arrival was used after its handler had ended.
    #[error("the handler of this message has ended, and with it everything that was bound for it")]
    HandlerEnded,
    /// Nothing can be said later on this channel.
    #[error(
        "this channel cannot be reached after its answer, so work in the background would end unheard; run it in the \
         foreground, or ask over a channel that can be called back"
    )]
    CannotDeliverLater,
    /// Something of this name is not there, or belongs to somebody else.
    #[error("there is no such {what} here")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// Messages to other chats need a grant.
    #[error("messages to another chat need a grant: `cross_post` of the account")]
    NoGrant,
    /// The schedule cannot be read, or is never due.
    #[error("the schedule is not a cron expression of five fields that is ever due")]
    BadSchedule,
    /// More of something than is allowed.
    #[error("there are too many {what} already; end some first")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// A door refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A variable is unbound.
    #[error(transparent)]
    Unbound(#[from] MissingContext),
    /// A handle was used under another entry.
    #[error(transparent)]
    Foreign(#[from] ForeignContext),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is deferred could not be sealed or opened.
    #[error("{what}: {why}")]
    Sealed {
        /// What was being done.
        what: &'static str,
        /// What the library said.
        why: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl GatewayError {
    /// Its number in the list of errors, for the log.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Sealed { .. } => "HV0121",
            Self::UnknownAccount => "HV0801",
            _ => "HV0500",
        }
    }

    /// Whether the sender did something that they can do better, rather than we.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::UnknownAccount
                | Self::UnknownUser
                | Self::PairingFull
                | Self::BadSignature
                | Self::Stale
                | Self::Malformed { .. }
                | Self::TooLarge { .. }
                | Self::CallbackNotAllowed
                | Self::QueueFull
                | Self::TooFast { .. }
                | Self::TooManySockets { .. }
        )
    }
}
