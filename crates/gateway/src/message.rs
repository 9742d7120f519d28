//! A message as a platform adapter read it, before anybody decided who sent it.
//!
//! It is plain data in bounded sizes: what is too long is refused here, once, for all platforms. Adapters make messages;
//! the gateway turns one into an [`Arrival`](crate::Arrival), and nothing else of a message reaches an agent.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::GatewayError;

/// The longest id, in bytes: a key of seven parts stays below what a session id may have.
pub const MAX_ID_BYTES: usize = 384;

/// The longest name, in bytes. Names are for people and decide nothing.
const MAX_NAME_BYTES: usize = 512;

/// What a message may bring. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageLimits {
    /// The text.
    pub text: usize,
    /// How many attachments.
    pub attachments: usize,
    /// One attachment.
    pub attachment: usize,
    /// All attachments together.
    pub attached: usize,
}

impl Default for MessageLimits {
    /// 32 KiB of text, 8 attachments of up to 2 MiB, 4 MiB together.
    fn default() -> Self {
        Self { text: 32 * 1024, attachments: 8, attachment: 2 << 20, attached: 4 << 20 }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The configured account that it came by.
    pub account: String,
    /// Its id on the platform. The same id is the same message.
    pub id: String,
    /// Where it was written.
    pub chat: Chat,
    /// In which thread, where there is one.
    pub thread: Option<String>,
    /// The workspace or guild; empty where the platform has none.
    pub scope: String,
    /// Who wrote it.
    pub sender: Sender,
    /// What it says.
    pub text: String,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// Where the platform wants its answers, if it is one that is called back.
    pub callback: Option<String>,
}

/// The chat of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// Its id on the platform.
    pub id: String,
    /// What people call it; empty when unknown.
    pub name: String,
    /// Direct or group.
    pub kind: ChatKind,
}

/// What kind of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// One person and the agent.
    #[default]
    Direct,
    /// Several people.
    Group,
}

impl ChatKind {
    /// The word that the variable and the key hold.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }
}

/// The sender of a message, as the platform knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Their id on the platform.
    pub id: String,
    /// What people call them; empty when unknown.
    pub name: String,
}

/// An id as platforms write it: text, or an integer of up to 64 bits, which is read as its decimal digits. Other numbers have
/// more than one spelling and are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Id(String);

impl Id {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Id {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: text or an integer")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A file that came with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, as the sender wrote it: never a path.
    pub name: String,
    /// What the sender says it is.
    pub media_type: String,
    /// The bytes.
    #[serde(with = "base64_text")]
    pub bytes: Vec<u8>,
}

/// Bytes as base64: as a list of numbers they would take four times the room.
mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("this is no base64"))
    }
}

impl Message {
    /// Refuses what is empty where it may not be, or larger than allowed.
    pub(crate) fn check(&self, limits: &MessageLimits) -> Result<(), GatewayError> {
        id("the message id", &self.id)?;
        id("the chat id", &self.chat.id)?;
        id("the user id", &self.sender.id)?;
        if let Some(thread) = &self.thread {
            id("the thread id", thread)?;
        }
        let longest = [&self.scope].iter().any(|scope| scope.len() > MAX_ID_BYTES);
        if longest || self.chat.name.len() > MAX_NAME_BYTES || self.sender.name.len() > MAX_NAME_BYTES {
            return Err(GatewayError::TooLarge { what: "a name", most: MAX_NAME_BYTES });
        }
        if self.text.len() > limits.text {
            return Err(GatewayError::TooLarge { what: "the text", most: limits.text });
        }
        if self.attachments.len() > limits.attachments {
            return Err(GatewayError::TooLarge {
                what: "the number of attachments",
                most: limits.attachments,
            });
        }
        if self.attachments.iter().any(|attachment| attachment.bytes.len() > limits.attachment) {
            return Err(GatewayError::TooLarge { what: "an attachment", most: limits.attachment });
        }
        if self.attachments.iter().map(|attachment| attachment.bytes.len()).sum::<usize>() > limits.attached {
            return Err(GatewayError::TooLarge { what: "all attachments together", most: limits.attached });
        }
        Ok(())
    }
}

fn id(what: &'static str, text: &str) -> Result<(), GatewayError> {
    match text.len() {
        0 => Err(GatewayError::Malformed { what }),
        1..=MAX_ID_BYTES => Ok(()),
        _ => Err(GatewayError::TooLarge { what, most: MAX_ID_BYTES }),
    }
}
