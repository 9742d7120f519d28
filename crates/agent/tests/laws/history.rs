//! The history: owned, append-only, deletable.

use std::path::Path;

use haversack::well_known::SessionId;
use haversack_agent::TurnError;
use haversack_agent::history::{History, Receipt};
use haversack_store::StoreError;

use super::house::{House, door, request};

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn history(house: &House, tenant: &str, principal: &str) -> (haversack::Visit, History) {
    let visit = door(tenant, principal, "reader");
    let history = visit.run(|| house.agents.history()).unwrap();
    (visit, history)
}

#[tokio::test]
async fn a_session_belongs_to_the_principal_that_began_it() {
    let house = House::offline();
    let reply = house
        .ask(door("acme", "kim", "s"), request("Remember that the gate code is 7741."), None)
        .await
        .unwrap();
    let taken = house.ask(door("acme", "lee", "s"), request("Hello"), None).await.unwrap_err();
    assert!(matches!(taken, TurnError::SessionTaken));
    assert_eq!(taken.code(), "HV0204");

    let (visit, lee) = history(&house, "acme", "lee");
    assert_eq!(visit.run(|| lee.session(&session("s"))).await.unwrap(), None);
    assert_eq!(visit.run(|| lee.turn(reply.turn)).await.unwrap(), None);
    assert_eq!(visit.run(|| lee.delete(&session("s"))).await.unwrap(), None);
    assert!(visit.run(|| lee.sessions(10, None)).await.unwrap().is_empty());

    let (visit, kim) = history(&house, "acme", "kim");
    assert_eq!(visit.run(|| kim.session(&session("s"))).await.unwrap().unwrap().history.len(), 1);
    assert!(visit.run(|| kim.turn(reply.turn)).await.unwrap().is_some());
    // The same names of another tenant are another session.
    let other = house.ask(door("zenith", "lee", "s"), request("Hello"), None).await;
    assert!(other.is_ok());
    let (visit, there) = history(&house, "zenith", "kim");
    assert_eq!(visit.run(|| there.turn(reply.turn)).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_said_stays_said() {
    let house = House::offline();
    let first = house.say("acme", "s", "Our account manager is Ilse Quandt.").await.unwrap();
    let (visit, kim) = history(&house, "acme", "kim");
    let before = visit.run(|| kim.turn(first.turn)).await.unwrap().unwrap();
    house.say("acme", "s", "Who is our account manager?").await.unwrap();
    let after = visit.run(|| kim.turn(first.turn)).await.unwrap().unwrap();
    assert_eq!(before, after);

    let roles: Vec<_> = after.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"], "the way to the reply is kept");
    assert_eq!(after.messages[0].content["text"], "Our account manager is Ilse Quandt.");
    assert_eq!(after.messages[3].content["text"], first.text.as_str());
    assert_eq!(after.manifest, Some(serde_json::to_value(&first.manifest).unwrap()));

    let changed = visit.run(|| house.store.tenant()).unwrap();
    let change =
        visit.run(|| changed.write("tamper", |tx| Ok(tx.execute("UPDATE messages SET content = '{}'", [])?)));
    assert!(change.await.is_err(), "the table itself refuses");
}

#[tokio::test]
async fn sessions_are_listed_newest_first_in_pages() {
    let house = House::offline();
    for name in ["a", "b", "c", "d", "e"] {
        house.say("acme", name, "Hello").await.unwrap();
    }
    house.say("acme", "b", "Again").await.unwrap();
    let (visit, kim) = history(&house, "acme", "kim");
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = visit.run(|| kim.sessions(2, before.clone())).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(session(&last.session));
        listed.extend(page.into_iter().map(|line| (line.session, line.turns)));
    }
    assert_eq!(listed.len(), 5, "every session once: {listed:?}");
    assert_eq!(listed[0], ("b".to_owned(), 2));
}

#[tokio::test]
async fn a_deleted_session_is_gone_from_every_layer_and_every_byte() {
    let house = House::offline();
    let secret = "Quillfeather";
    house.say("acme", "s", &format!("Our account manager is {secret}.")).await.unwrap();
    house.say("acme", "s", &format!("I tried calling {secret} and it did not help.")).await.unwrap();
    house.say("acme", "keep", "Remember that the gate code is 7741.").await.unwrap();
    assert!(!holding(&house.folder.path().join("data"), secret.as_bytes()).is_empty(), "it is there before");

    let (visit, kim) = history(&house, "acme", "kim");
    let receipt = visit.run(|| kim.delete(&session("s"))).await.unwrap().unwrap();
    assert_eq!((receipt.turns, receipt.memories), (2, 1), "{receipt:?}");
    assert!(receipt.attempts >= 1 && receipt.messages >= 6, "{receipt:?}");
    assert_eq!(visit.run(|| kim.session(&session("s"))).await.unwrap(), None);
    assert_eq!(visit.run(|| kim.delete(&session("s"))).await.unwrap(), None::<Receipt>);
    assert_eq!(holding(&house.folder.path().join("data"), secret.as_bytes()), Vec::<String>::new());

    let kept = house.say("acme", "later", "What is the gate code?").await.unwrap();
    assert!(kept.text.contains("7741"), "other sessions keep what they told");
    let gone = house.say("acme", "later", "Who is our account manager?").await.unwrap();
    assert!(gone.text.contains("I found nothing about that"), "{}", gone.text);
}

#[tokio::test]
async fn a_history_of_another_entry_is_refused_at_the_call() {
    let house = House::offline();
    let (_a, mine) = history(&house, "a", "kim");
    let (b, _) = history(&house, "b", "kim");
    let listed = b.run(|| mine.sessions(10, None)).await;
    assert!(matches!(listed, Err(StoreError::Foreign(_))));
    let deleted = b.run(|| mine.delete(&session("s"))).await;
    assert!(matches!(deleted, Err(StoreError::Foreign(_))));
    assert_eq!(super::house::tenant_files(house.folder.path()), 0);
}

/// The files below a folder that hold some bytes.
fn holding(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    found
}
