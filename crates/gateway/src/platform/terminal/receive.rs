//! Lines that are typed.
//!
//! Lines are read while answers are worked on, so that a second line may wait, steer or interrupt as the account says. Answers
//! are printed in the order in which they come.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};

use super::send::print;
use super::{TERMINAL, TerminalUser};
use crate::gateway::{Gateway, Incoming, Receipt};
use crate::message::{Chat, ChatKind, Message, Sender};
use crate::{GatewayError, turn};

/// Serves a terminal until its input ends and every answer is printed. Lines that are refused are answered with the reason.
///
/// # Errors
/// [`GatewayError::Io`] when reading or writing fails.
///
/// # Cancellation
/// Turns that run go on; their answers are not printed.
pub async fn serve(
    gateway: &Gateway,
    user: &TerminalUser,
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> Result<(), GatewayError> {
    let mut lines = BufReader::new(reader).lines();
    let mut answers = FuturesUnordered::new();
    let mut open = true;
    while open || !answers.is_empty() {
        let told = tokio::select! {
            line = lines.next_line(), if open => match line.map_err(|source| io("read a line", source))? {
                None => {
                    open = false;
                    continue;
                }
                Some(line) if line.trim().is_empty() => continue,
                Some(line) => match gateway.receive(incoming(user, line)?).await {
                    Ok(Receipt::Taken(taken)) => {
                        answers.push(taken.answer());
                        continue;
                    }
                    Ok(Receipt::Done { text }) => text,
                    Ok(Receipt::Pairing { code }) => format!("You are not known here. Show an operator this code: {code}"),
                    Ok(Receipt::Duplicate) => continue,
                    Err(error) => error.to_string(),
                },
            },
            Some(answer) = answers.next() => match answer {
                Ok(turn::Reply { text }) if text.is_empty() => continue,
                Ok(turn::Reply { text }) => text,
                Err(error) => error.to_string(),
            },
        };
        print(&mut writer, &told).await.map_err(|source| io("write an answer", source))?;
    }
    Ok(())
}

fn incoming(user: &TerminalUser, text: String) -> Result<Incoming, GatewayError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|source| io("name a line", std::io::Error::other(source.to_string())))?;
    let message = Message {
        account: user.account.clone(),
        id: turn::hex(&id),
        chat: Chat { id: user.chat.clone(), name: String::new(), kind: ChatKind::Direct },
        thread: None,
        scope: String::new(),
        sender: Sender { id: user.user.clone(), name: String::new() },
        text,
        attachments: Vec::new(),
        callback: None,
    };
    Ok(Incoming { platform: TERMINAL, message, deliver_later: false })
}

fn io(what: &'static str, source: std::io::Error) -> GatewayError {
    GatewayError::Io { what, source }
}
