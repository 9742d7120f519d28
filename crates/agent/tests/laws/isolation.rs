//! The shared driver: many tenants' turns polled by one task, inside somebody's frame, and nobody sees
//! another's.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use haversack::FutureExt;
use haversack::well_known::{SESSION_ID, TENANT_ID};
use haversack_agent::EventSink;
use haversack_agent::model::scripted::Answer;
use haversack_agent::model::{Message, ScriptedModel};
use haversack_agent::tool::{ToolOutput, tool};
use serde::Deserialize;
use serde_json::json;

use super::house::{House, door, request};

#[derive(Deserialize, schemars::JsonSchema)]
struct Expected {
    tenant: String,
    session: String,
}

/// 20 turns of as many tenants, 6 tool calls each, polled by one driver that stands in another tenant's
/// frame.
async fn shared_driver() {
    let wrong: Arc<Mutex<Vec<String>>> = Arc::default();
    let calls: Arc<Mutex<HashSet<(String, usize)>>> = Arc::default();
    let (seen, counted) = (wrong.clone(), calls.clone());
    let check = tool("check", "Compares.", move |expected: Expected| {
        let (wrong, calls) = (seen.clone(), counted.clone());
        async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                let (tenant, session) = (TENANT_ID.get()?, SESSION_ID.get()?);
                if tenant.as_str() != expected.tenant || session.as_str() != expected.session {
                    wrong.lock().unwrap().push(format!("{} under {tenant}", expected.tenant));
                }
            }
            let inside = haversack::spawn_blocking(|| TENANT_ID.get()).await.unwrap()?;
            let mut calls = calls.lock().unwrap();
            let number = calls.len();
            calls.insert((inside.to_string(), number));
            ToolOutput::json(&inside.as_str())
        }
    });
    let model = ScriptedModel::by(|request| {
        let text = request.last_user_text();
        match request.messages.last() {
            Some(Message::User { .. }) => {
                let arguments = || json!({ "tenant": text, "session": format!("s-{text}") });
                (0..6).fold(Answer::default().and_wait(), |answer, _| answer.and_call("check", arguments()))
            }
            _ => Answer::text(text),
        }
    });
    let house = House::solo(model, &["check"], vec![Arc::new(check)]);
    let visits: Vec<_> =
        (0..20).map(|n| (format!("t{n}"), door(&format!("t{n}"), "kim", &format!("s-t{n}")))).collect();
    let driver = door("driver", "mallory", "s-driver");
    let mut turns = FuturesUnordered::new();
    for (tenant, visit) in &visits {
        let run = visit.run(|| house.agents.turn(request(tenant)).unwrap().run(EventSink::none()));
        turns.push(async move { (tenant, run.await) });
    }
    let drive = async {
        while let Some((tenant, outcome)) = turns.next().await {
            assert_eq!(outcome.unwrap().text, *tenant);
        }
    };
    drive.with_context(driver.context()).await;
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 120);
    for (tenant, _) in &visits {
        assert_eq!(calls.iter().filter(|(inside, _)| inside == tenant).count(), 6, "{tenant}");
    }
}

#[tokio::test]
async fn tool_calls_through_a_shared_driver_on_one_thread() {
    shared_driver().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tool_calls_through_a_shared_driver_on_many_threads() {
    shared_driver().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn near_identical_conversations_of_many_tenants_do_not_cross() {
    let house = Arc::new(House::offline());
    for n in 0..10 {
        house.knows(
            &format!("t{n}"),
            "rules.md",
            &format!("# Returns\n\nReturns are paid after {} days.\n", 100 + n),
        );
    }
    let mut talks = haversack::JoinSet::new();
    for n in 0..10 {
        for s in 0..4 {
            let house = house.clone();
            talks.spawn(async move {
                let (tenant, session) = (format!("t{n}"), format!("s{s}"));
                let own = format!("Canary-{n}-{s}");
                house
                    .say(&tenant, &session, &format!("Remember that the access code for desk {s} is {own}."))
                    .await
                    .unwrap();
                let code = house
                    .say(&tenant, &session, &format!("What is the access code for desk {s}?"))
                    .await
                    .unwrap();
                assert!(code.text.contains(&own), "{}", code.text);
                let rule =
                    house.say(&tenant, &session, "After how many days are returns paid?").await.unwrap();
                assert!(rule.text.contains(&(100 + n).to_string()), "{}", rule.text);
                for other in (0..10).filter(|other| *other != n) {
                    assert!(!code.text.contains(&format!("Canary-{other}-")), "{}", code.text);
                    assert!(!rule.text.contains(&(100 + other).to_string()), "{}", rule.text);
                }
            });
        }
    }
    while let Some(talk) = talks.join_next().await {
        talk.unwrap();
    }
}
