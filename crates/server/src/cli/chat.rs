//! The command `chat`: talk to an agent, line by line or one message. It talks to a server with a key, or in process to
//! an engine of its own on the local data folder. Answers are printed as they arrive.

mod local;

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use serde::Serialize;

use super::client::{Client, Event, Message, Reply, key};
use super::config::Source;
use super::in_process::Who;
use super::output::{Output, plain};
use crate::auth::name::session_name;
use crate::problem::Fault;
use local::Local;

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say this, print the answer and end.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Name of the conversation; a new one when absent.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Talk to this server; without it an engine runs in this process.
    #[arg(long, value_name = "URL", conflicts_with_all = ["tenant", "principal"])]
    server: Option<String>,
    /// The API key for the server; better in the variable than here, where other users of the machine see it.
    #[arg(long, value_name = "KEY", env = "HAVERSACK_KEY", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    source: Source,
}

impl Args {
    /// Returns true if the agent runs in this process.
    pub(super) fn speaks_here(&self) -> bool {
        self.server.is_none()
    }
}

#[derive(Serialize)]
struct Answered<'a> {
    session: &'a str,
    turn: &'a str,
    agent: &'a str,
    text: &'a str,
}

/// Whom the messages go to.
enum Listener {
    Server(Client),
    Here(Local),
}

/// Runs `chat`.
///
/// # Errors
/// With `-m`, whatever refuses the turn; line by line, only what makes the next line pointless too.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let session = match args.session {
        Some(name) => session_name(&name)?.as_str().to_owned(),
        None => format!("chat-{:08x}", getrandom::u32()?),
    };
    haversack::block_on(&super::runtime()?, async {
        let listener = match &args.server {
            Some(url) => Listener::Server(Client::new(url, &key(args.key.as_deref())?)?),
            None => Listener::Here(Local::open(&args.source, &args.who).await?),
        };
        let talked = match args.message {
            Some(text) => listener.say(&session, &text, out).await.map_err(Into::into),
            None => listener.talk(&session, out).await,
        };
        if let Listener::Here(local) = listener {
            local.close().await?;
        }
        talked
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Listener {
    /// Reads lines until the input ends or says `/quit`. A turn that fails is reported, and the next line read.
    async fn talk(&self, session: &str, out: &Output) -> anyhow::Result<()> {
        let terminal = std::io::stdin().is_terminal();
        if terminal {
            out.note(&format!("conversation {session}; /quit or the end of input ends it"));
        }
        loop {
            if terminal {
                out.prompt("> ");
            }
            let Some(line) = haversack::spawn_blocking(read_line).await?? else { break };
            match line.trim() {
                "" => {}
                "/quit" | "/exit" => break,
                text => {
                    if let Err(fault) = self.say(session, text, out).await {
                        let hopeless = fault.code().exit() != super::EXIT_FAILED;
                        let error = anyhow::Error::from(fault);
                        if hopeless || !terminal {
                            return Err(error);
                        }
                        out.error(&error);
                    }
                }
            }
        }
        Ok(())
    }

    async fn say(&self, session: &str, text: &str, out: &Output) -> Result<(), Fault> {
        let mut shown = Shown { out, text: String::new() };
        let reply = match self {
            Self::Server(client) => {
                let message = Message { message: text, idempotency_key: None };
                client.stream(session, message, |event| shown.event(event)).await?.reply
            }
            Self::Here(local) => local.say(session, text, |event| shown.event(event)).await?,
        };
        shown.end(&reply);
        let Reply { turn, text, agent } = &reply;
        out.value(&Answered { session, turn, agent, text });
        Ok(())
    }
}

/// What of an answer is on the terminal already.
struct Shown<'a> {
    out: &'a Output,
    text: String,
}

impl Shown<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::TextDelta { text } => {
                self.out.stream(text);
                self.text.push_str(text);
            }
            // Words before a tool call are not part of the answer: the answer begins on a new line.
            Event::ToolStarted { .. } if !self.text.is_empty() => {
                self.out.line("");
                self.text.clear();
            }
            _ => {}
        }
    }

    fn end(&self, reply: &Reply) {
        if !self.text.is_empty() {
            self.out.line("");
        }
        // A reply that was stored before, or a model that does not stream, arrives whole.
        if self.text.trim() != reply.text.trim() {
            self.out.line(plain(&reply.text).as_ref());
        }
    }
}

/// One line of the standard input; `None` at its end.
fn read_line() -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}
