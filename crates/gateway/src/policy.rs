//! Which conversation a message belongs to: a policy that is data, and that can say why.
//!
//! A key is a list of named parts. Direct: platform, account, chat, and the thread where there is one. Group: platform,
//! account, type, chat, thread, and the participant where the policy keeps people apart. Each part is written with its
//! length, so no choice of ids makes two different lists one key. The gateway asks for keys; the command line prints
//! explanations.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::message::{ChatKind, Message};

/// How conversations are told apart, for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyPolicy {
    /// Whether the people of a group have a conversation each.
    pub group: Participants,
    /// What a thread is.
    pub threads: Threads,
}

/// Who shares the conversation of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Participants {
    /// Everybody has their own.
    #[default]
    Each,
    /// All have one. It belongs to the group, and not to whoever spoke first.
    Shared,
}

/// What a thread is to the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threads {
    /// A conversation of its own, shared by those who write in it.
    #[default]
    Shared,
    /// A conversation of its own for everybody who writes in it.
    PerUser,
    /// A way of sorting messages, without a meaning for the conversation.
    Ignored,
}

/// The key of a conversation: equal or not, and nothing else. Never a prefix, never taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(String);

impl SessionKey {
    /// The text, which is also the id of the durable conversation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a message stands, as far as keys are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The platform.
    pub platform: &'a str,
    /// The account.
    pub account: &'a str,
    /// The workspace or guild; empty where there is none.
    pub scope: &'a str,
    /// Direct or group.
    pub kind: ChatKind,
    /// The chat.
    pub chat: &'a str,
    /// The thread, where there is one.
    pub thread: Option<&'a str>,
    /// The sender.
    pub user: &'a str,
}

impl<'a> Place<'a> {
    /// Where `message` stands.
    #[must_use]
    pub fn of(platform: &'a str, message: &'a Message) -> Self {
        Self {
            platform,
            account: &message.account,
            scope: &message.scope,
            kind: message.chat.kind,
            chat: &message.chat.id,
            thread: message.thread.as_deref(),
            user: &message.sender.id,
        }
    }
}

/// Why a message belongs to its conversation: each part of the key, and what was left out, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The key.
    pub key: String,
    /// Whether everybody in the place shares the conversation.
    pub shared: bool,
    /// The parts in their order.
    pub parts: Vec<Part>,
}

/// One part of a key, or one that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its value; none when it is not part of the key.
    pub value: Option<String>,
    /// Why it is, or is not.
    pub why: &'static str,
}

impl KeyPolicy {
    /// The key of the conversation that a message in this place belongs to.
    #[must_use]
    pub fn key(&self, place: &Place<'_>) -> SessionKey {
        SessionKey(write(&self.parts(place)))
    }

    /// Whether several people speak in that conversation.
    #[must_use]
    pub fn shares(&self, place: &Place<'_>) -> bool {
        place.kind == ChatKind::Group && self.parts(place).iter().all(|part| part.name != "user" || part.value.is_none())
    }

    /// The key with its reasons.
    #[must_use]
    pub fn explain(&self, place: &Place<'_>) -> Explanation {
        let parts = self.parts(place);
        Explanation { key: write(&parts), shared: self.shares(place), parts }
    }

    fn parts(&self, place: &Place<'_>) -> Vec<Part> {
        let taken = |name, value: &str, why| Part { name, value: Some(value.to_owned()), why };
        let left = |name, why| Part { name, value: None, why };
        let mut parts = vec![
            taken("platform", place.platform, "a chat is known by its platform"),
            taken("account", place.account, "two accounts may use one chat id"),
        ];
        if !place.scope.is_empty() {
            parts.push(taken("scope", place.scope, "chat ids are unique within a workspace"));
        }
        if place.kind == ChatKind::Group {
            parts.push(taken("type", place.kind.as_str(), "a group and a direct chat may have one id"));
        }
        parts.push(taken("chat", place.chat, "each chat is a conversation"));
        let in_thread = match (place.thread, self.threads) {
            (Some(_), Threads::Ignored) => {
                parts.push(left("thread", "the policy ignores threads"));
                false
            }
            (Some(thread), _) => {
                parts.push(taken("thread", thread, "each thread is a conversation"));
                true
            }
            (None, _) => false,
        };
        if place.kind == ChatKind::Group {
            parts.push(match (in_thread, self.threads, self.group) {
                (true, Threads::PerUser, _) => taken("user", place.user, "threads are per user by policy"),
                (true, ..) => left("user", "threads are shared by policy"),
                (false, _, Participants::Each) => taken("user", place.user, "people of a group are apart by policy"),
                (false, _, Participants::Shared) => left("user", "the group shares one conversation by policy"),
            });
        }
        parts
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.key)?;
        for Part { name, value, why } in &self.parts {
            match value {
                Some(value) => writeln!(f, "  {name:<9} {value}  ({why})")?,
                None => writeln!(f, "  {name:<9} left out  ({why})")?,
            }
        }
        Ok(())
    }
}

/// `name=length:value` for each part that is taken. Lengths are in bytes.
fn write(parts: &[Part]) -> String {
    let mut key = String::from("gateway");
    for Part { name, value, .. } in parts {
        if let Some(value) = value {
            key.push_str(&format!("/{name}={}:{value}", value.len()));
        }
    }
    key
}
