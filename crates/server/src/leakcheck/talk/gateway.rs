//! Signed messages of a platform, answered to a callback: each conversation is a thread of a group of the same name, its
//! messages have the ids that everybody's have, and all tenants write at once. What an agent starts in the background is
//! told later into the same thread. The other side is an inbox of ours, which writes down what came where.

use std::collections::BTreeMap;
use std::time::Duration;

use haversack_gateway::platform::webhook::{SigningSecret, sign};
use haversack_store::now_millis;
use serde_json::json;

use super::{Hop, at_once};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{errors, routes};
use crate::leakcheck::stage::settings::{SENDER, account_name, signing};
use crate::leakcheck::stage::{Answer, Inbox, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[Kind::Attempt, Kind::Chat];

pub(super) const PLACES: &[Place] = &[
    Place::Answers,
    Place::Routes,
    Place::Errors,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Control,
];

/// What everybody writes: the id of the message, the words, and how many answers come.
type Words = fn(&World, Cell) -> String;
const SAID: [(&str, Words, usize); 3] = [
    (
        "msg-tried",
        |world, cell| {
            let attempt = world.word(cell, Kind::Attempt);
            format!("I tried the {attempt} reset on the pump, it did not help.")
        },
        1,
    ),
    ("msg-list", |_, _| "What have I tried so far?".to_owned(), 1),
    // The turn says that it was started, the worker that it is done.
    ("msg-bell", |_, _| "Please ring the bell.".to_owned(), 2),
];

pub(super) fn requests(world: &World) -> usize {
    // A message under the next tenant's signature besides.
    world.cells().count() * (SAID.len() + 1)
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    stage.work().await?;
    let origin = stage.inbox()?.origin();
    let mut letters: BTreeMap<(Cell, &str), Vec<String>> = BTreeMap::new();
    for (id, words, answers) in SAID {
        let sent = at_once(stage, world.cells(), async |cell: Cell| {
            let text = words(world, cell);
            Ok((cell, send(world, stage, cell, cell.tenant, (id, &text, &origin)).await?))
        });
        let mut expected = 0;
        for (cell, answer) in sent.await? {
            report.asked(answer.status.is_success());
            report.looked(Place::Answers, 1);
            match answer.status.is_success() {
                true => expected += answers,
                false => report.gap(
                    Place::Answers,
                    format!(
                        "`{id}` in {} was answered {}: {}",
                        cell.session_name(),
                        answer.status,
                        answer.text
                    ),
                ),
            }
        }
        // Where one answer went astray, others may have too, and nobody needs to wait for all of them.
        let astray = report.found(Hop::Gateway);
        let patience = if astray { SILENCE / 5 } else { SILENCE };
        let inbox = stage.inbox()?;
        for _ in 0..expected {
            let Some(letter) = inbox.next(patience).await else { break };
            if let Some((cell, replies_to)) = routes::look(world, &letter, report)? {
                if replies_to == message(id, cell) {
                    let text = letter.json()["text"].as_str().unwrap_or_default().to_owned();
                    letters.entry((cell, id)).or_default().push(text);
                } else {
                    report.crossing(Place::Routes, format!("an answer to {replies_to} came for {id}"));
                }
            }
        }
        for cell in world.cells() {
            let came = letters.get(&(cell, id)).map_or(0, Vec::len);
            if came != answers {
                let detail = format!("{came} of {answers} answers to {id} came to {}", Inbox::path_of(cell));
                report.gap(Place::Routes, detail);
            }
        }
    }
    for cell in world.cells() {
        let listed = letters.get(&(cell, "msg-list")).into_iter().flatten();
        if !listed.into_iter().any(|text| text.contains(&world.word(cell, Kind::Attempt))) {
            report.gap(Place::Routes, format!("no answer in {} knows its own attempt", Inbox::path_of(cell)));
        }
    }
    forged(world, stage, report, &origin).await
}

/// How long the next answer is waited for while others are under way.
const SILENCE: Duration = Duration::from_secs(15);

/// A message that another tenant signed is refused, and its words are not repeated.
async fn forged(world: &World, stage: &Stage, report: &mut Report, origin: &str) -> anyhow::Result<()> {
    let answers = at_once(stage, world.cells(), async |cell: Cell| {
        let next = (cell.tenant + 1) % world.tenants();
        let text = world.word(cell, Kind::Attempt);
        Ok((cell, send(world, stage, cell, next, ("msg-forged", &text, origin)).await?))
    });
    for (cell, answer) in answers.await? {
        errors::refused(world, cell, &answer, Code::SignatureRefused, report);
    }
    Ok(())
}

/// The id of a message. Those of one tenant differ, those of different tenants do not.
fn message(id: &str, cell: Cell) -> String {
    format!("{id}-{}", cell.session)
}

async fn send(
    world: &World,
    stage: &Stage,
    cell: Cell,
    signed_by: usize,
    (id, text, origin): (&str, &str, &str),
) -> anyhow::Result<Answer> {
    let body = json!({
        "chat": { "id": "floor", "name": "The floor", "type": "group" },
        "thread": world.word(cell, Kind::Chat),
        "sender": { "id": SENDER, "name": "Kim" },
        "text": text,
        "callback": format!("{origin}{}", Inbox::path_of(cell)),
    });
    let (body, time) = (serde_json::to_vec(&body)?, now_millis() / 1000);
    let id = message(id, cell);
    let secret = SigningSecret::parse(&signing(world, signed_by))?;
    let (moment, signature) = (time.to_string(), sign::sign(&secret, &id, time, &body));
    let headers = [(sign::ID, id.as_str()), (sign::TIME, &moment), (sign::SIGNATURE, &signature)];
    let path = format!("/gateway/webhook/{}", account_name(cell.tenant));
    stage.kim(cell.tenant).deliver(&path, &headers, body).await
}
