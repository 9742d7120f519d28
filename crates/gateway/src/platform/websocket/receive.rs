//! Sockets: one task a connection, which reads what the client says and writes what it is told.
//!
//! A client says `{"type":"join","chat":"…"}` to listen and `{"type":"say","id":"…","chat":"…","text":"…"}` to speak, which
//! also listens. It is told `taken`, `refused` and `message`. The task belongs to the connection and inherits no context;
//! each message enters the door by itself. Who is at the other end is asked anew for each frame, in either direction, and
//! at each heartbeat.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::config::{chat_of, in_chat};
use super::send::{Outgoing, Socket};
use super::{Authenticate, Held, Peer, WEBSOCKET};
use crate::account::Account;
use crate::gateway::{Gateway, Incoming, Receipt};
use crate::message::{Chat, ChatKind, Message, Sender};
use crate::platform::webhook::refused;
use crate::{GatewayError, ReplyRoute};

/// Why a socket is closed whose client is not known any more. The code is 1008.
pub const KEY_ENDED: &str = "the key of this connection is no longer valid";

/// How many answers may wait for a slow client.
const QUEUE: usize = 16;

/// How many chats one connection may listen to.
const MOST_CHATS: usize = 64;

#[derive(Clone)]
struct Shared {
    gateway: Gateway,
    authenticate: Authenticate,
    next: Arc<AtomicU64>,
}

/// `GET /gateway/ws`.
pub fn router(gateway: Gateway, authenticate: Authenticate) -> Router {
    let shared = Shared { gateway, authenticate, next: Arc::default() };
    Router::new().route("/gateway/ws", get(connect)).with_state(shared)
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Join {
        chat: String,
        #[serde(default)]
        thread: Option<String>,
    },
    Say {
        id: String,
        chat: String,
        #[serde(default)]
        thread: Option<String>,
        text: String,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Joined {
        chat: &'a str,
    },
    Taken {
        id: &'a str,
    },
    Duplicate {
        id: &'a str,
    },
    Answered {
        id: &'a str,
        text: &'a str,
    },
    Refused {
        id: &'a str,
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
}

impl<'a> Told<'a> {
    fn refused(id: &'a str, error: &GatewayError) -> Self {
        let retry_after_s = match error {
            GatewayError::TooFast { after_s } => Some(*after_s),
            _ => None,
        };
        Self::Refused { id, detail: error.to_string(), retry_after_s }
    }
}

async fn connect(
    State(shared): State<Shared>,
    held: Option<Extension<Held>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(peer) = (shared.authenticate)(headers.clone()).await else {
        return (StatusCode::UNAUTHORIZED, "who this is is not known").into_response();
    };
    let most = shared.gateway.sockets();
    let Some(socket) = shared.gateway.connections().open(&peer.tenant, most) else {
        return refused(GatewayError::TooManySockets { most });
    };
    let configured = shared.gateway.accounts().of_tenant(WEBSOCKET, &peer.tenant).cloned();
    let account =
        configured.unwrap_or_else(|| Arc::new(Account::new(WEBSOCKET, WEBSOCKET, peer.tenant.clone())));
    let most = shared.gateway.limits().text * 6 + 4096;
    let connection = shared.next.fetch_add(1, Ordering::Relaxed);
    let line = Line {
        gateway: shared.gateway,
        authenticate: shared.authenticate,
        headers,
        account,
        peer,
        connection,
        chats: Vec::new(),
        _open: (socket, held.map(|Extension(held)| held)),
    };
    upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| haversack::detached(line.serve(socket)))
}

/// One connection.
struct Line {
    gateway: Gateway,
    authenticate: Authenticate,
    /// Those of the request, with the key.
    headers: HeaderMap,
    account: Arc<Account>,
    peer: Peer,
    connection: u64,
    chats: Vec<String>,
    /// Its places among the sockets of its tenant and the connections of the program.
    _open: (Socket, Option<Held>),
}

impl Line {
    async fn serve(mut self, socket: WebSocket) {
        let (mut write, mut read) = socket.split();
        let (queue, mut outgoing) = mpsc::channel::<Outgoing>(QUEUE);
        // Pings are answered in order, so the oldest that waits is the next that is answered.
        let mut unanswered = VecDeque::new();
        let mut number = 0_u64;
        let period = self.gateway.heartbeat();
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = heartbeat.tick() => {
                    if !self.is_known().await {
                        close(&mut write).await;
                        break;
                    }
                    // Answered in order too, so it says of the last answer what that one's own ping would.
                    let ping = Frame::Ping(number.to_be_bytes().to_vec().into());
                    if write.send(ping).await.is_err() {
                        break;
                    }
                }
                Some(Outgoing { frame, arrived }) = outgoing.recv() => {
                    if !self.is_known().await {
                        let _ = arrived.send(false);
                        close(&mut write).await;
                        break;
                    }
                    number += 1;
                    let ping = Frame::Ping(number.to_be_bytes().to_vec().into());
                    unanswered.push_back((number, arrived));
                    if write.send(Frame::Text(frame.into())).await.is_err() || write.send(ping).await.is_err() {
                        break;
                    }
                }
                frame = read.next() => {
                    let told = match frame {
                        Some(Ok(Frame::Text(_))) if !self.is_known().await => {
                            close(&mut write).await;
                            break;
                        }
                        Some(Ok(Frame::Text(text))) => self.hear(&text, &queue).await,
                        Some(Ok(Frame::Pong(answer))) => {
                            let upto = answer.as_ref().try_into().map_or(0, u64::from_be_bytes);
                            while let Some((_, arrived)) = unanswered.pop_front_if(|(number, _)| *number <= upto) {
                                let _ = arrived.send(true);
                            }
                            continue;
                        }
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => continue,
                    };
                    if write.send(Frame::Text(told.into())).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.gateway.connections().leave(&self.peer.tenant, &self.chats, self.connection);
        outgoing.close();
        while let Ok(Outgoing { arrived, .. }) = outgoing.try_recv() {
            let _ = arrived.send(false);
        }
    }

    /// Whether its client is still who it was when it came.
    async fn is_known(&self) -> bool {
        (self.authenticate)(self.headers.clone()).await.as_ref() == Some(&self.peer)
    }

    async fn hear(&mut self, text: &str, queue: &mpsc::Sender<Outgoing>) -> String {
        match serde_json::from_str(text) {
            Ok(Said::Join { chat, thread }) => match self.join(&chat, thread.as_deref(), queue).await {
                Ok(()) => told(&Told::Joined { chat: &chat }),
                Err(error) => told(&Told::refused("", &error)),
            },
            Ok(Said::Say { id, chat, thread, text }) => {
                let joined = self.join(&chat, thread.as_deref(), queue).await;
                let said = match joined {
                    Ok(()) => self.say(&id, &chat, thread, text).await,
                    Err(error) => Err(error),
                };
                match said {
                    Ok(Receipt::Taken(_)) => told(&Told::Taken { id: &id }),
                    Ok(Receipt::Done { text }) => told(&Told::Answered { id: &id, text: &text }),
                    Ok(Receipt::Duplicate | Receipt::Pairing { .. }) => told(&Told::Duplicate { id: &id }),
                    Err(error) => told(&Told::refused(&id, &error)),
                }
            }
            Err(_) => told(&Told::Refused {
                id: "",
                detail: "this is no `join` and no `say`".to_owned(),
                retry_after_s: None,
            }),
        }
    }

    /// Listens to a chat, and has what waited for it sent now. Each counts as a message of its tenant.
    async fn join(
        &mut self,
        chat: &str,
        thread: Option<&str>,
        queue: &mpsc::Sender<Outgoing>,
    ) -> Result<(), GatewayError> {
        self.gateway.take_rate(&self.peer.tenant)?;
        let chat = chat_of(&self.peer.principal, chat);
        if !self.chats.contains(&chat) {
            if self.chats.len() >= MOST_CHATS {
                return Err(GatewayError::TooMany { what: "chats on one connection" });
            }
            self.gateway.connections().listen(&self.peer.tenant, &chat, self.connection, queue);
            self.chats.push(chat.clone());
        }
        let route = ReplyRoute::new(WEBSOCKET, &self.account.name, &chat).in_thread(thread);
        self.gateway.ledger().revive(&self.peer.tenant, &route).await
    }

    async fn say(
        &self,
        id: &str,
        chat: &str,
        thread: Option<String>,
        text: String,
    ) -> Result<Receipt, GatewayError> {
        let chat_id = chat_of(&self.peer.principal, chat);
        let message = Message {
            account: self.account.name.clone(),
            id: in_chat(&chat_id, id),
            chat: Chat { id: chat_id, name: chat.to_owned(), kind: ChatKind::Direct },
            thread: thread.filter(|thread| !thread.is_empty()),
            scope: String::new(),
            sender: Sender { id: self.peer.principal.as_str().to_owned(), name: String::new() },
            text,
            attachments: Vec::new(),
            callback: None,
        };
        let incoming = Incoming { platform: WEBSOCKET, message, deliver_later: true };
        self.gateway.receive_from(&self.account, self.peer.principal.clone(), incoming).await
    }
}

async fn close(write: &mut SplitSink<WebSocket, Frame>) {
    let why = CloseFrame { code: close_code::POLICY, reason: KEY_ENDED.into() };
    // A client that is gone needs no reason.
    let _ = write.send(Frame::Close(Some(why))).await;
}

fn told(told: &Told<'_>) -> String {
    // Strings serialise.
    serde_json::to_string(told).unwrap_or_default()
}
