//! `gateway explain`: the policy of an account, applied to one place, with the reason of each part. It reads the configuration and
//! nothing else: no secret, no data, no server.

use haversack_gateway::message::{ChatKind, Id};
use haversack_gateway::policy::Place;
use serde::Deserialize;

use crate::cli::config::Source;
use crate::cli::output::{Output, plain};
use crate::code::Code;
use crate::problem::Fault;

/// Arguments of `gateway explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The account that the message came by.
    #[arg(long, value_name = "NAME")]
    account: String,
    /// The message, as a webhook sends it, in the place of the options below.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["chat", "user", "group", "thread", "scope"])]
    message: Option<String>,
    /// The chat.
    #[arg(long, value_name = "ID", required_unless_present = "message")]
    chat: Option<String>,
    /// Who sent it, as the platform knows them.
    #[arg(long, value_name = "ID", required_unless_present = "message")]
    user: Option<String>,
    /// Several people write in the chat.
    #[arg(long)]
    group: bool,
    /// The thread within the chat.
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// The workspace that the chat is part of.
    #[arg(long, value_name = "ID", default_value = "")]
    scope: String,
    #[command(flatten)]
    source: Source,
}

/// What of a message its conversation depends on.
#[derive(Deserialize)]
struct Written {
    chat: Chat,
    sender: Sender,
    #[serde(default)]
    thread: Option<Id>,
    #[serde(default)]
    scope: Id,
}

#[derive(Deserialize)]
struct Chat {
    id: Id,
    #[serde(default, rename = "type")]
    kind: ChatKind,
}

#[derive(Deserialize)]
struct Sender {
    id: Id,
}

pub(super) fn run(args: Args, out: &Output) -> Result<(), Fault> {
    let config = args.source.load()?.config;
    let account = super::account(&config, &args.account)?;
    let message = match args.message {
        Some(text) => serde_json::from_str(&text).map_err(|_| {
            let shape = r#"{"chat": {"id": "..", "type": "group"}, "sender": {"id": ".."}, "thread": ".."}"#;
            Fault::new(Code::MessageRefused, format!("`--message` is a message such as {shape}."))
        })?,
        None => Written {
            chat: Chat {
                id: args.chat.unwrap_or_default().into(),
                kind: if args.group { ChatKind::Group } else { ChatKind::Direct },
            },
            sender: Sender { id: args.user.unwrap_or_default().into() },
            thread: args.thread.map(Id::from),
            scope: args.scope.into(),
        },
    };
    let explained = account.sessions.explain(&Place {
        platform: &account.platform,
        account: &account.name,
        scope: message.scope.as_str(),
        kind: message.chat.kind,
        chat: message.chat.id.as_str(),
        thread: message.thread.as_ref().map(Id::as_str).filter(|thread| !thread.is_empty()),
        user: message.sender.id.as_str(),
    });
    out.value(&explained);
    out.line(plain(explained.to_string().trim_end()).as_ref());
    Ok(())
}
