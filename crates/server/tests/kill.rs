//! `kill -9` loses no answered turn and damages no file: ten times a server is killed in the middle of traffic and
//! started again on the same folder.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects, and stops where it is not so"
)]

mod killing;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;

use killing::{Server, client, haversack, issue};

const ROUNDS: usize = 10;
const TENANTS: usize = 3;
const SESSIONS: usize = 8;

/// What a client got an answer to: tenant, session, turn, and the reply's text.
struct Answered {
    tenant: usize,
    session: String,
    turn: String,
    text: String,
}

#[test]
fn kill_nine_loses_no_answered_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let keys: Vec<String> = (0..TENANTS).map(|tenant| issue(&data, &format!("tenant-{tenant}"))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");

    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let server = Server::start(&data, &[]);
        haversack::block_on(&runtime, verify(&server.url, &keys, &answered));
        // Another moment in each round: after so many answers, with other turns under way.
        let after = 5 + round * 7;
        let mut fresh = haversack::block_on(&runtime, talk_until_killed(server, &keys, round, after));
        assert!(fresh.len() >= after, "traffic stopped before the kill");
        answered.append(&mut fresh);
    }

    let mut server = Server::start(&data, &[]);
    haversack::block_on(&runtime, verify(&server.url, &keys, &answered));
    server.kill();
    let doctor = haversack(&data, &["doctor"]).output().expect("doctor runs");
    let findings = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success(), "a file is damaged:\n{findings}");
}

/// Talks in all sessions at once, kills the server after `after` answers, and gives every answer that arrived.
async fn talk_until_killed(mut server: Server, keys: &[String], round: usize, after: usize) -> Vec<Answered> {
    let (count, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let http = client();
    let mut talks = haversack::JoinSet::new();
    for (tenant, key) in keys.iter().enumerate() {
        for session in 0..SESSIONS {
            let (http, url, key) = (http.clone(), server.url.clone(), key.clone());
            let (count, enough) = (count.clone(), enough.clone());
            talks.spawn(async move {
                let session = format!("talk-{session}");
                let mut answered = Vec::new();
                for turn in 0.. {
                    let message = format!(
                        "Remember that the seal of crate {round}-{turn} is s{tenant}x{round}x{turn}."
                    );
                    let request = http
                        .post(format!("{url}/v1/sessions/{session}/turns"))
                        .bearer_auth(&key)
                        .json(&json!({ "message": message }));
                    // The kill ends the talk, in the middle of an answer or before it.
                    let Ok(response) = request.send().await else { break };
                    let status = response.status();
                    let Ok(reply) = response.json::<Value>().await else { break };
                    assert!(status.is_success(), "{status}: {reply}");
                    answered.push(Answered {
                        tenant,
                        session: session.clone(),
                        turn: reply["turn"].as_str().expect("a turn id").to_owned(),
                        text: reply["text"].as_str().expect("a text").to_owned(),
                    });
                    if count.fetch_add(1, Ordering::Relaxed) + 1 >= after {
                        enough.notify_one();
                    }
                }
                answered
            });
        }
    }
    enough.notified().await;
    server.kill();
    let mut answered = Vec::new();
    while let Some(talk) = talks.join_next().await {
        answered.append(&mut talk.expect("a talk"));
    }
    answered
}

/// Every turn that was ever answered is in its session with the very reply that went out.
async fn verify(url: &str, keys: &[String], answered: &[Answered]) {
    let http = client();
    let mut sessions: HashMap<(usize, &str), Value> = HashMap::new();
    for turn in answered {
        let session = match sessions.entry((turn.tenant, turn.session.as_str())) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let request =
                    http.get(format!("{url}/v1/sessions/{}", turn.session)).bearer_auth(&keys[turn.tenant]);
                let response = request.send().await.expect("an answer");
                assert!(response.status().is_success(), "{}", response.status());
                unread.insert(response.json().await.expect("json"))
            }
        };
        let turns = session["history"].as_array().expect("turns");
        let stored = turns.iter().find(|stored| stored["turn"] == turn.turn.as_str());
        let last = stored.and_then(|stored| stored["messages"].as_array()?.last());
        let reply = last.and_then(|reply| reply["content"]["text"].as_str());
        assert_eq!(reply, Some(turn.text.as_str()), "turn {} of {}", turn.turn, turn.session);
    }
}
