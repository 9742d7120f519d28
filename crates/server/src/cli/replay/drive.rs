//! Plays a plan against a server: conversations at the same time, the turns of one in order, each conversation after
//! those it needs. Every answer is checked against its turn's expectations and against the values of all other
//! tenants. `replay` calls it with a key for each speaker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::sync::{Semaphore, watch};

use super::plan::{Conversation, Plan, Turn, holds};
use super::report::{Failure, Latencies, Report, Wrong};
use crate::cli::client::{Answer, Client, ClientError, Message};

/// A key for each tenant and principal of a plan.
pub type Keys = BTreeMap<(String, String), String>;

/// How often a turn is sent again to a busy server.
const MAX_RETRIES: usize = 60;

/// Plays every conversation, at most `concurrency` at a time, and reports. `bar` advances with each turn.
///
/// # Errors
/// When a key is missing, or the latency histogram cannot be made. Whatever goes wrong with a turn is in the report.
///
/// # Cancellation
/// Dropping the future stops after the requests under way; the server may still finish them.
pub(super) async fn drive(
    plan: Plan,
    client: &Client,
    keys: &Keys,
    run: &str,
    concurrency: usize,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let plan = Arc::new(plan);
    let places = Arc::new(Semaphore::new(concurrency.max(1)));
    let done: Vec<watch::Sender<bool>> = plan.conversations.iter().map(|_| watch::channel(false).0).collect();
    let began = Instant::now();
    let mut players = haversack::JoinSet::new();
    for (position, conversation) in plan.conversations.iter().enumerate() {
        let tenant = &plan.tenants[conversation.tenant].name;
        let Some(key) = keys.get(&(tenant.clone(), conversation.principal.clone())) else {
            anyhow::bail!("there is no key for {} of {tenant}", conversation.principal);
        };
        let player =
            Player { plan: Arc::clone(&plan), position, client: client.with_key(key), bar: bar.clone() };
        let needed: Vec<_> = conversation.after.iter().map(|needed| done[*needed].subscribe()).collect();
        let (places, done) = (Arc::clone(&places), done[position].clone());
        players.spawn(async move {
            // First wait, then take a place: who waits for another must not keep that other from starting.
            for mut needed in needed {
                // The sender lives until it has sent: it is in `done` or in its own task.
                let _ = needed.wait_for(|complete| *complete).await;
            }
            let place = places.acquire_owned().await;
            let played = player.play().await;
            drop(place);
            done.send_replace(true);
            played
        });
    }
    let mut latencies = Latencies::new()?;
    let mut report = empty(&plan, run);
    let mut failures = BTreeMap::new();
    while let Some(played) = players.join_next().await {
        let played = played?;
        report.answered += played.latencies.len();
        report.met += played.met;
        report.retries += played.retries;
        played.latencies.into_iter().for_each(|took| latencies.add(took));
        failures.insert(played.position, played.failures);
    }
    report.failures = failures.into_values().flatten().collect();
    let crossed = |failure: &&Failure| matches!(failure.wrong, Wrong::Crossing { .. });
    report.crossings = report.failures.iter().filter(crossed).count();
    report.latency_ms = latencies.percentiles();
    report.seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let answered = report.answered as f64;
    report.turns_per_second = answered / report.seconds.max(f64::EPSILON);
    Ok(report)
}

fn empty(plan: &Plan, run: &str) -> Report {
    let turns = plan.conversations.iter().flat_map(|conversation| &conversation.turns);
    Report {
        seed: plan.seed,
        run: run.to_owned(),
        conversations: plan.conversations.len(),
        answered: 0,
        turns: plan.turns(),
        met: 0,
        expectations: turns.map(|turn| turn.contains.len() + turn.excludes.len()).sum(),
        crossings: 0,
        retries: 0,
        latency_ms: Default::default(),
        turns_per_second: 0.0,
        seconds: 0.0,
        failures: Vec::new(),
    }
}

/// Plays one conversation.
struct Player {
    plan: Arc<Plan>,
    position: usize,
    client: Client,
    bar: ProgressBar,
}

struct Played {
    position: usize,
    met: usize,
    retries: usize,
    latencies: Vec<Duration>,
    failures: Vec<Failure>,
}

impl Player {
    async fn play(self) -> Played {
        let conversation = &self.plan.conversations[self.position];
        let mut played = Played {
            position: self.position,
            met: 0,
            retries: 0,
            latencies: Vec::new(),
            failures: Vec::new(),
        };
        let mut broken = false;
        for (number, turn) in conversation.turns.iter().enumerate() {
            self.bar.inc(1);
            let fail = |wrong, reply: &str| self.failure(conversation, number, turn, wrong, reply);
            if broken {
                played.failures.push(fail(Wrong::NotSent, ""));
                continue;
            }
            match self.send(conversation, number, turn, &mut played.retries).await {
                Ok((answer, took)) => {
                    played.latencies.push(took);
                    let wrongs = self.check(conversation, turn, &answer);
                    let unmet = |wrong: &&Wrong| !matches!(wrong, Wrong::Crossing { .. });
                    let unmet = wrongs.iter().filter(unmet).count();
                    played.met += turn.contains.len() + turn.excludes.len() - unmet;
                    played.failures.extend(wrongs.into_iter().map(|wrong| fail(wrong, &answer.reply.text)));
                }
                Err(error) => {
                    broken = true;
                    played.failures.push(fail(Wrong::Unanswered { error: chain(&error) }, ""));
                }
            }
        }
        played
    }

    /// Sends one turn, as plain JSON and as a stream in turns. A busy server is asked again after the time it names;
    /// the idempotency key makes sure that this does not say anything twice.
    async fn send(
        &self,
        conversation: &Conversation,
        number: usize,
        turn: &Turn,
        retries: &mut usize,
    ) -> Result<(Answer, Duration), ClientError> {
        let key = format!("{}.{number}", conversation.session);
        let mut left = MAX_RETRIES;
        loop {
            let message = Message { message: &turn.say, idempotency_key: Some(&key) };
            let began = Instant::now();
            let answer = match number % 2 {
                0 => self.client.turn(&conversation.session, message).await,
                _ => self.client.stream(&conversation.session, message, |_| {}).await,
            };
            match answer {
                Ok(answer) => return Ok((answer, began.elapsed())),
                Err(error) => match error.retry_after() {
                    Some(wait) if left > 0 => {
                        left -= 1;
                        *retries += 1;
                        tokio::time::sleep(wait).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    fn check(&self, conversation: &Conversation, turn: &Turn, answer: &Answer) -> Vec<Wrong> {
        let reply = &answer.reply.text;
        let missing = turn.contains.iter().filter(|expected| !holds(reply, expected));
        let unwanted = turn.excludes.iter().filter(|excluded| holds(reply, excluded));
        // Everything that was received counts: a value in a manifest or in a streamed word crossed as well.
        let crossings = self.plan.crossings(conversation.tenant, &answer.raw);
        missing
            .map(|expected| Wrong::Missing { expected: expected.clone() })
            .chain(unwanted.map(|excluded| Wrong::Unwanted { excluded: excluded.clone() }))
            .chain(crossings.into_iter().map(|value_of| Wrong::Crossing { value_of }))
            .collect()
    }

    fn failure(
        &self,
        conversation: &Conversation,
        number: usize,
        turn: &Turn,
        wrong: Wrong,
        reply: &str,
    ) -> Failure {
        Failure {
            file: conversation.file.clone(),
            line: turn.line,
            tenant: self.plan.tenants[conversation.tenant].name.clone(),
            conversation: conversation.name.clone(),
            turn: number + 1,
            wrong,
            reply: reply.to_owned(),
        }
    }
}

/// An error with what caused it, in one line.
fn chain(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
