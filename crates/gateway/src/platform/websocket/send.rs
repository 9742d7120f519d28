//! Answers to the sockets that listen to a chat.
//!
//! A connection is a queue to the task that owns its socket; a part counts as sent when the client has answered the ping that
//! follows it, which every client does by itself. Who is
//! reached is decided by the tenant of the delivery and the chat, so a route cannot lead to another tenant's socket. Without
//! a listener the part waits for one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haversack::FutureExt;
use haversack::well_known::{TENANT_ID, TenantId};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::WEBSOCKET;
use super::config::said;
use crate::ReplyRoute;
use crate::platform::{Part, Platform, SendError, Sending};

/// The longest part, in characters.
const MAX_CHARS: usize = 16_000;

/// A frame for a client, and where it is told that the client has it.
pub(super) struct Outgoing {
    pub(super) frame: String,
    /// True when the client has it, false when it was not written; dropped when that is not known.
    pub(super) arrived: oneshot::Sender<bool>,
}

/// The sockets that listen, by tenant and chat. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Connections {
    listeners: Arc<Mutex<Listeners>>,
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// An open socket, until it is dropped.
pub(super) struct Socket {
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
    tenant: TenantId,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = hold(&self.open);
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

/// By tenant and chat: two tenants may have one chat.
type Listeners = HashMap<(TenantId, String), Vec<Listener>>;

struct Listener {
    connection: u64,
    queue: mpsc::Sender<Outgoing>,
}

impl Connections {
    /// Counts one more socket of a tenant; `None` when it has `most`.
    pub(super) fn open(&self, tenant: &TenantId, most: usize) -> Option<Socket> {
        let mut open = hold(&self.open);
        let count = open.entry(tenant.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Socket { open: self.open.clone(), tenant: tenant.clone() })
    }

    /// How many sockets each tenant has open.
    pub(crate) fn counts(&self) -> BTreeMap<TenantId, usize> {
        hold(&self.open).iter().map(|(tenant, count)| (tenant.clone(), *count)).collect()
    }

    /// Lets a connection hear a chat.
    pub(super) fn listen(
        &self,
        tenant: &TenantId,
        chat: &str,
        connection: u64,
        queue: &mpsc::Sender<Outgoing>,
    ) {
        let mut listeners = self.hold();
        let there = listeners.entry((tenant.clone(), chat.to_owned())).or_default();
        if there.iter().all(|listener| listener.connection != connection) {
            there.push(Listener { connection, queue: queue.clone() });
        }
    }

    /// Takes a connection out of everything that it heard.
    pub(super) fn leave(&self, tenant: &TenantId, chats: &[String], connection: u64) {
        let mut listeners = self.hold();
        for chat in chats {
            let key = (tenant.clone(), chat.clone());
            let Some(there) = listeners.get_mut(&key) else { continue };
            there.retain(|listener| listener.connection != connection);
            if there.is_empty() {
                listeners.remove(&key);
            }
        }
    }

    fn queues(&self, tenant: TenantId, chat: &str) -> Vec<mpsc::Sender<Outgoing>> {
        let listeners = self.hold();
        let there = listeners.get(&(tenant, chat.to_owned()));
        there.map(|there| there.iter().map(|listener| listener.queue.clone()).collect()).unwrap_or_default()
    }

    fn hold(&self) -> MutexGuard<'_, Listeners> {
        hold(&self.listeners)
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends to sockets.
pub(crate) struct Sender {
    connections: Connections,
}

#[derive(Serialize)]
struct Frame<'a> {
    r#type: &'static str,
    id: &'a str,
    chat: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<&'a str>,
    text: &'a str,
    part: usize,
    parts: usize,
    redelivery: bool,
}

impl Sender {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

impl Platform for Sender {
    fn name(&self) -> &'static str {
        WEBSOCKET
    }

    fn max_chars(&self) -> usize {
        MAX_CHARS
    }

    fn send(&self, route: ReplyRoute, part: Part) -> Sending {
        let connections = self.connections.clone();
        Box::pin(
            async move {
                let tenant = TENANT_ID.get().map_err(|_| SendError::Refused)?;
                let frame = Frame {
                    r#type: "message",
                    id: &part.id,
                    chat: said(route.chat()),
                    thread: route.thread(),
                    in_reply_to: route.message().map(said),
                    text: &part.text,
                    part: part.number,
                    parts: part.of,
                    redelivery: part.again,
                };
                let frame = serde_json::to_string(&frame).map_err(|_| SendError::Refused)?;
                let mut outcome = Err(SendError::Away);
                for queue in connections.queues(tenant, route.chat()) {
                    let (arrived, has_arrived) = oneshot::channel();
                    if queue.send(Outgoing { frame: frame.clone(), arrived }).await.is_err() {
                        continue;
                    }
                    match has_arrived.await {
                        Ok(true) => outcome = Ok(()),
                        Ok(false) => {}
                        // It was on its way when the connection ended.
                        Err(_) => outcome = outcome.or(Err(SendError::Unsure)),
                    }
                }
                outcome
            }
            .in_current_context(),
        )
    }
}
