//! Who a message is from and where it belongs, settled once at arrival.
//!
//! It is immutable and travels with the message through every queue, so that whoever runs the turn binds what was true for
//! this message and not for the last one. The gateway makes them at arrival, and the schedules at each tick.

use haversack::Bindings;
use haversack::well_known::{
    PRINCIPAL, Principal, REQUEST_ID, RequestId, SESSION_ID, SessionId, TENANT_ID, TRACE_CONTEXT, TenantId,
    TraceContext,
};

use crate::account::Account;
use crate::cron::{ORIGIN, SCHEDULE_ID};
use crate::message::Message;
use crate::policy::Place;
use crate::session::{Facts, REPLY_ROUTE, SPEAKER};
use crate::{GatewayError, ReplyRoute, SessionKey};

/// One identity.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) principal: Principal,
    /// The speaker in a conversation that belongs to no person. They may read it.
    pub(crate) speaker: Option<Principal>,
    pub(crate) session: SessionId,
    pub(crate) facts: Facts,
    pub(crate) route: ReplyRoute,
    /// What everything that it causes is part of.
    pub(crate) trace: Option<TraceContext>,
    /// Names it in that trace.
    pub(crate) request: Option<RequestId>,
    /// Set for a schedule.
    pub(crate) scheduled: Option<Scheduled>,
}

/// What only a schedule has.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(crate) id: String,
    pub(crate) origin: ReplyRoute,
}

impl Identity {
    /// The identity of a message from somebody who is known.
    pub(crate) fn of_message(
        account: &Account,
        message: &Message,
        sender: Principal,
        later: bool,
        trace: Option<TraceContext>,
    ) -> Result<Self, GatewayError> {
        let place = Place::of(&account.platform, message);
        let key = account.sessions.key(&place);
        // A conversation that several people share belongs to none of them.
        let (principal, speaker) = match account.sessions.shares(&place) {
            true => (shared(&key)?, Some(sender)),
            false => (sender, None),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let facts = Facts {
            platform: account.platform.clone(),
            source: account.name.clone(),
            chat: message.chat.id.clone(),
            chat_name: message.chat.name.clone(),
            chat_type: message.chat.kind.as_str().to_owned(),
            thread: text(&message.thread),
            scope: message.scope.clone(),
            user: message.sender.id.clone(),
            user_name: message.sender.name.clone(),
            message: message.id.clone(),
            key: key.as_str().to_owned(),
            profile: account.profile.clone(),
            later,
        };
        let route = ReplyRoute::new(&account.platform, &account.name, &message.chat.id)
            .in_thread(message.thread.as_deref())
            .answering(&message.id)
            .by_callback(message.callback.as_deref());
        let session =
            SessionId::new(key.as_str()).map_err(|_| GatewayError::Malformed { what: "the session key" })?;
        Ok(Self {
            tenant: account.tenant.clone(),
            principal,
            speaker,
            session,
            facts,
            route,
            trace,
            request: RequestId::new(message.id.as_str()).ok(),
            scheduled: None,
        })
    }

    /// The identity of the message that the current context is about.
    #[track_caller]
    pub(crate) fn here() -> Result<Self, GatewayError> {
        Ok(Self {
            tenant: TENANT_ID.get()?,
            principal: PRINCIPAL.get()?,
            speaker: SPEAKER.bound(),
            session: SESSION_ID.get()?,
            facts: Facts::here()?,
            route: REPLY_ROUTE.get()?,
            trace: TRACE_CONTEXT.bound(),
            request: REQUEST_ID.bound(),
            scheduled: None,
        })
    }

    /// Binds all of it.
    #[track_caller]
    pub(crate) fn bind(&self, bindings: Bindings) -> Bindings {
        let bindings = bindings
            .bind(&TENANT_ID, self.tenant.clone())
            .bind(&PRINCIPAL, self.principal.clone())
            .bind_some(&SPEAKER, self.speaker.clone())
            .bind(&SESSION_ID, self.session.clone())
            .bind_some(&TRACE_CONTEXT, self.trace.clone())
            .bind_some(&REQUEST_ID, self.request.clone());
        let scheduled = self.scheduled.as_ref();
        let bindings = bindings
            .bind_some(&SCHEDULE_ID, scheduled.map(|scheduled| scheduled.id.clone()))
            .bind_some(&ORIGIN, scheduled.map(|scheduled| scheduled.origin.clone()));
        self.facts.bind(bindings, &self.route)
    }

    /// Whether a message of `other` may steer work that is done for this one: the same person in the same place.
    pub(crate) fn is_same_speaker(&self, other: &Self) -> bool {
        self.tenant == other.tenant
            && self.principal == other.principal
            && self.facts.user == other.facts.user
            && self.route.same_place(&other.route)
    }
}

/// The principal of a conversation that people share. Nobody is mapped onto it.
fn shared(key: &SessionKey) -> Result<Principal, GatewayError> {
    Principal::new(format!("group:{key}")).map_err(|_| GatewayError::Malformed { what: "the session key" })
}
