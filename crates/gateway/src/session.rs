//! What is known about the message that is being worked on, as context variables.
//!
//! All of them are bound at once, at a door, and by nothing else: they have no `set` and no `scope`. What a platform does
//! not know is bound to the empty string, which is not the same as unbound: an empty value is an answer, an unbound one
//! is an error, and only an unbound one may be looked up in the environment, by a program that allows it (a command line,
//! never a server). Anything may read them; tools read these and never the environment.

use haversack::well_known::SESSION_ID;
use haversack::{AtDoor, Bindings, ContextVar, MissingContext};
/// The person who speaks in a conversation that belongs to itself.
pub use haversack_agent::history::SPEAKER;
/// Whether something can be said here after the answer: the platform can be reached again.
pub use haversack_agent::tool::CAN_DELIVER_LATER;

use crate::ReplyRoute;

macro_rules! named {
    ($($(#[$doc:meta])* $variable:ident = $name:literal, $env:literal;)*) => {
        $(
            $(#[$doc])*
            pub static $variable: ContextVar<String, AtDoor> =
                ContextVar::new($name).portable(1).shown().env($env).at_door();
        )*

        /// Every variable above with the name under which a child process finds it.
        static NAMED: &[(&str, &ContextVar<String, AtDoor>)] = &[$(($env, &$variable)),*];
    };
}

named! {
    /// The platform that the message came by: `webhook`, `websocket`, `terminal`, `cron`.
    PLATFORM = "gateway.platform", "HAVERSACK_SESSION_PLATFORM";
    /// The configured account that it came by.
    SOURCE = "gateway.source", "HAVERSACK_SESSION_SOURCE";
    /// The chat.
    CHAT_ID = "gateway.chat_id", "HAVERSACK_SESSION_CHAT_ID";
    /// What people call the chat.
    CHAT_NAME = "gateway.chat_name", "HAVERSACK_SESSION_CHAT_NAME";
    /// `direct` or `group`.
    CHAT_TYPE = "gateway.chat_type", "HAVERSACK_SESSION_CHAT_TYPE";
    /// The thread within the chat.
    THREAD_ID = "gateway.thread_id", "HAVERSACK_SESSION_THREAD_ID";
    /// The workspace, guild or organisation that the chat is part of.
    SCOPE_ID = "gateway.scope_id", "HAVERSACK_SESSION_SCOPE_ID";
    /// Who sent the message, as the platform knows them. Who that is to us is the principal.
    USER_ID = "gateway.user_id", "HAVERSACK_SESSION_USER_ID";
    /// What people call the sender.
    USER_NAME = "gateway.user_name", "HAVERSACK_SESSION_USER_NAME";
    /// The message itself: what an answer is anchored to.
    MESSAGE_ID = "gateway.message_id", "HAVERSACK_SESSION_MESSAGE_ID";
    /// The key of the conversation, see [`crate::policy`].
    SESSION_KEY = "gateway.session_key", "HAVERSACK_SESSION_KEY";
    /// The profile that the account asks for.
    PROFILE = "gateway.profile", "HAVERSACK_SESSION_PROFILE";
}

/// Where the answer goes. It has no name in the environment: an address is captured, or there is none.
pub static REPLY_ROUTE: ContextVar<ReplyRoute, AtDoor> =
    ContextVar::new("gateway.reply_route").portable(1).at_door();

/// The names under which a child process finds the session.
const LATER: &str = "HAVERSACK_SESSION_CAN_DELIVER_LATER";
const SESSION: &str = "HAVERSACK_SESSION_ID";

/// What a door binds. Plain text throughout; the empty string says that the platform does not know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) platform: String,
    pub(crate) source: String,
    pub(crate) chat: String,
    pub(crate) chat_name: String,
    pub(crate) chat_type: String,
    pub(crate) thread: String,
    pub(crate) scope: String,
    pub(crate) user: String,
    pub(crate) user_name: String,
    pub(crate) message: String,
    pub(crate) key: String,
    pub(crate) profile: String,
    pub(crate) later: bool,
}

impl Facts {
    /// Binds everything, with the route.
    #[track_caller]
    pub(crate) fn bind(&self, bindings: Bindings, route: &ReplyRoute) -> Bindings {
        bindings
            .bind(&PLATFORM, self.platform.clone())
            .bind(&SOURCE, self.source.clone())
            .bind(&CHAT_ID, self.chat.clone())
            .bind(&CHAT_NAME, self.chat_name.clone())
            .bind(&CHAT_TYPE, self.chat_type.clone())
            .bind(&THREAD_ID, self.thread.clone())
            .bind(&SCOPE_ID, self.scope.clone())
            .bind(&USER_ID, self.user.clone())
            .bind(&USER_NAME, self.user_name.clone())
            .bind(&MESSAGE_ID, self.message.clone())
            .bind(&SESSION_KEY, self.key.clone())
            .bind(&PROFILE, self.profile.clone())
            .bind(&CAN_DELIVER_LATER, self.later)
            .bind(&REPLY_ROUTE, route.clone())
    }
}

impl Facts {
    /// What is bound here.
    #[track_caller]
    pub(crate) fn here() -> Result<Self, MissingContext> {
        Ok(Self {
            platform: PLATFORM.get()?,
            source: SOURCE.get()?,
            chat: CHAT_ID.get()?,
            chat_name: CHAT_NAME.get()?,
            chat_type: CHAT_TYPE.get()?,
            thread: THREAD_ID.get()?,
            scope: SCOPE_ID.get()?,
            user: USER_ID.get()?,
            user_name: USER_NAME.get()?,
            message: MESSAGE_ID.get()?,
            key: SESSION_KEY.get()?,
            profile: PROFILE.get()?,
            later: CAN_DELIVER_LATER.get()?,
        })
    }
}

/// Takes what is bound here along through another door: for a turn that outlives the handler and has an entry of its
/// own. What is unbound here stays unbound there.
#[track_caller]
pub fn along(bindings: Bindings) -> Bindings {
    let named = NAMED.iter().fold(bindings, |bindings, (_, variable)| bindings.keep(variable));
    named.keep(&CAN_DELIVER_LATER).keep(&REPLY_ROUTE).keep(&SPEAKER)
}

/// The session as a child process sees it: each name, with its value where one is bound here. A name without a value
/// must not reach the child, also when the environment of this process has one.
pub(crate) fn for_child() -> Vec<(&'static str, Option<String>)> {
    let mut names: Vec<_> = NAMED.iter().map(|(name, variable)| (*name, variable.bound())).collect();
    let later = CAN_DELIVER_LATER.bound();
    names.push((LATER, later.map(|later| later.to_string())));
    names.push((SESSION, SESSION_ID.bound().map(|session| session.as_str().to_owned())));
    names
}
