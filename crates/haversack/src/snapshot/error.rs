//! What can go wrong with a snapshot: at the capture, at the seal, at the opening and at the restore.
//!
//! Each way has its own variant and its own text. None of them quotes a value, a payload or a secret.

use std::error::Error;
use std::fmt;

use super::MAX_SNAPSHOT_BYTES;
use crate::error::{MissingContext, Refused};

/// The current context could not be captured.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError {
    /// A variable that the manifest requires is not bound here, or the context came through no boundary.
    Missing(MissingContext),
    /// The value of a variable refused its own encoding.
    Unencodable {
        /// The variable.
        variable: &'static str,
    },
    /// The variables are larger than [`MAX_SNAPSHOT_BYTES`](super::MAX_SNAPSHOT_BYTES) together.
    TooLarge {
        /// What they take, in bytes.
        bytes: usize,
        /// The largest of them.
        largest: Option<String>,
    },
    /// The system gave no random bits for an id.
    NoRandom,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => write!(f, "the context cannot leave the process: {missing}"),
            Self::Unencodable { variable } => {
                write!(
                    f,
                    "the value of `{variable}` cannot be written as JSON, so it cannot leave the process"
                )
            }
            Self::TooLarge { bytes, largest } => {
                write!(
                    f,
                    "the context is too large to leave the process: {bytes} of {MAX_SNAPSHOT_BYTES} bytes"
                )?;
                match largest {
                    Some(largest) => {
                        write!(f, ", most of them in `{largest}`; send large data as the payload")
                    }
                    None => Ok(()),
                }
            }
            Self::NoRandom => f.write_str(NO_RANDOM),
        }
    }
}

impl Error for CaptureError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Missing(missing) => Some(missing),
            _ => None,
        }
    }
}

/// A snapshot could not be sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SealError {
    /// Every key of the ring has retired.
    NoKey,
    /// Snapshot and payload have 4 GiB or more.
    TooLarge,
    /// The system gave no random bits for the nonce.
    NoRandom,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "every key of the ring has retired: rotate the ring to get one that seals",
            Self::TooLarge => "a payload of 4 GiB or more cannot be sealed: store it, and send where it is",
            Self::NoRandom => NO_RANDOM,
        })
    }
}

impl Error for SealError {}

/// Sealed bytes could not be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The bytes are no envelope: something stored in plain text, or something else.
    NotSealed,
    /// The bytes end before the envelope does.
    Truncated,
    /// The envelope, or the snapshot in it, has a newer format than this program reads.
    NewerFormat {
        /// The format it says it has.
        format: u32,
    },
    /// The envelope names a key that is not in the ring.
    UnknownKey {
        /// The id of the key.
        key: String,
    },
    /// The envelope was sealed with a key that has retired since.
    RetiredKey {
        /// The id of the key.
        key: String,
    },
    /// The key does not fit: changed bytes, or an envelope that belongs to another tenant, queue or id.
    Forged,
    /// The envelope or what is in it has no shape that this library writes.
    Damaged,
}

impl OpenError {
    /// Whether it may open later: in a newer program, with the right key file, or when the clock is right again. Keep it
    /// for then. Otherwise it fails for good.
    #[must_use]
    pub fn parks(&self) -> bool {
        matches!(self, Self::NewerFormat { .. } | Self::UnknownKey { .. } | Self::RetiredKey { .. })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => {
                f.write_str("not a sealed snapshot: these bytes were stored in plain text, or are something else")
            }
            Self::Truncated => f.write_str("the sealed snapshot is truncated: its end is missing"),
            Self::NewerFormat { format } => {
                write!(f, "the sealed snapshot has format {format}, which is newer than this program: update it")
            }
            Self::UnknownKey { key } => write!(
                f,
                "the snapshot was sealed with key `{key}`, which is not in the key ring: is this the key file of \
                 the installation that sealed it?"
            ),
            Self::RetiredKey { key } => write!(
                f,
                "the snapshot was sealed with key `{key}`, which has retired: rotate with a longer overlap next time"
            ),
            Self::Forged => f.write_str(
                "the sealed snapshot is not authentic here: its bytes were changed, or it belongs to another job, \
                 queue or tenant",
            ),
            Self::Damaged => f.write_str("the sealed snapshot is damaged: it has no shape that this program writes"),
        }
    }
}

impl Error for OpenError {}

/// A snapshot could not be restored. Nothing ran.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its time is over.
    Expired {
        /// When it expired, in milliseconds since the epoch.
        expired_at: i64,
    },
    /// It carries a variable without which the work must not run, and the manifest here does not list it.
    UnknownRequired {
        /// The variable.
        variable: String,
    },
    /// A required variable is written in a newer version than this program declares.
    NewerVersion {
        /// The variable.
        variable: &'static str,
        /// The version it is written in.
        written: u16,
        /// The newest version that this program declares.
        known: u16,
    },
    /// A required variable could not be decoded.
    Undecodable {
        /// The variable.
        variable: &'static str,
        /// The version it is written in.
        written: u16,
    },
    /// The manifest here requires a variable that the snapshot does not carry.
    Missing {
        /// The variable.
        variable: &'static str,
    },
    /// The boundary requires more than the snapshot carries.
    Refused(Refused),
}

impl RestoreError {
    /// Whether a newer program could restore it: keep it for that one. Otherwise it fails for good.
    #[must_use]
    pub fn parks(&self) -> bool {
        matches!(self, Self::UnknownRequired { .. } | Self::NewerVersion { .. })
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { expired_at } => {
                write!(f, "the snapshot expired at {expired_at} ms since the epoch; submit the work again")
            }
            Self::UnknownRequired { variable } => write!(
                f,
                "the snapshot requires `{variable}`, which this program's manifest does not list: a newer program \
                 sent it"
            ),
            Self::NewerVersion { variable, written, known } => write!(
                f,
                "the snapshot has `{variable}` in version {written}, and this program knows {known}: a newer \
                 program sent it"
            ),
            Self::Undecodable { variable, written } => write!(
                f,
                "`{variable}` could not be decoded from version {written}: a type must read what its older versions \
                 wrote"
            ),
            Self::Missing { variable } => {
                write!(f, "the manifest requires `{variable}`, which the snapshot does not carry")
            }
            Self::Refused(refused) => fmt::Display::fmt(refused, f),
        }
    }
}

impl Error for RestoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            _ => None,
        }
    }
}

/// A key ring could not be made or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyringError {
    /// The text does not begin as a key ring does.
    NotAKeyring,
    /// The text has a newer format than this program reads.
    NewerFormat {
        /// The format it says it has.
        format: u32,
    },
    /// A line is not a key.
    BadLine {
        /// Counted from 1.
        line: usize,
    },
    /// A line has the id of a key further up.
    RepeatedId {
        /// Counted from 1.
        line: usize,
    },
    /// There is no key.
    Empty,
    /// The system gave no random bits.
    NoRandom,
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKeyring => f.write_str("not a key ring: the line `haversack-keyring 1` is missing"),
            Self::NewerFormat { format } => {
                write!(f, "the key ring has format {format}, which is newer than this program: update it")
            }
            Self::BadLine { line } => write!(
                f,
                "line {line} of the key ring is not a key: expected id, time made, time it retires or `-`, and \
                 32 bytes in base64"
            ),
            Self::RepeatedId { line } => {
                write!(f, "line {line} of the key ring repeats the id of another key")
            }
            Self::Empty => f.write_str("the key ring has no key"),
            Self::NoRandom => f.write_str(NO_RANDOM),
        }
    }
}

impl Error for KeyringError {}

const NO_RANDOM: &str = "the system gives no random bits: nothing can be sealed safely";
