//! A gateway that is killed while it sends: one repetition, and it says so.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haversack_gateway::ledger::{AGAIN, DeliveryState};
use haversack_gateway::{Gateway, Receipt};

use crate::callbacks::{Callbacks, Say};
use crate::house::{House, Post, account, echo, options};
use crate::ledger::{all, deliveries};

const FOLDER: &str = "HAVERSACK_LAWS_FOLDER";
const ORIGIN: &str = "HAVERSACK_LAWS_ORIGIN";
const ACTION: &str = "HAVERSACK_LAWS_ACTION";

/// Starts this test binary as a gateway that does one thing, and waits until it says that it did.
pub(crate) fn gateway_process(folder: &Path, origin: &str, action: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_gateway_of_its_own", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ORIGIN, origin)
        .env(ACTION, action)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("began")), "the gateway process says that it began");
    child
}

#[tokio::test]
#[ignore = "the process that other tests start and kill"]
async fn a_gateway_of_its_own() {
    let (folder, origin) = (std::env::var(FOLDER).unwrap(), std::env::var(ORIGIN).unwrap());
    let action = std::env::var(ACTION).unwrap();
    // The folder belongs to the parent: it must not go when this process does.
    let accounts = vec![account("shop", "acme", &origin)];
    let mut options = crate::processes::with_commands(options(), folder.as_ref());
    // Long enough that only the kill ends an attempt.
    options.ledger.part_timeout = Duration::from_secs(60);
    let (_store, desk) = crate::house::desk_in(folder.as_ref(), accounts, options);
    let responder = crate::processes::runs_what_is_said(&desk);
    let gateway = Gateway::new(desk, responder);
    let runs = gateway.clone();
    haversack::spawn_detached(async move { runs.run(std::future::pending()).await });
    if action != "nothing" {
        say(&gateway, action, &origin).await;
    }
    use std::io::Write;
    writeln!(std::io::stdout(), "\nbegan").unwrap();
    std::future::pending::<()>().await;
}

async fn say(gateway: &Gateway, text: String, origin: &str) {
    let mut incoming = crate::senders::incoming("m1", "shop", "u-kim");
    incoming.message.text = text;
    incoming.message.callback = Some(format!("{origin}/in"));
    incoming.deliver_later = true;
    let Receipt::Taken(taken) = gateway.receive(incoming).await.unwrap() else { panic!("taken") };
    taken.answer().await.unwrap();
}

/// Lets the leases of a dead gateway lapse, as time would. How many deliveries were being attempted.
pub(crate) async fn lapse(folder: &Path) -> usize {
    let store = crate::house::store_in(folder);
    let lapsed = store.control().engine().write("lapse", |tx| {
        Ok(tx.execute("UPDATE gateway_deliveries SET lease_until = 0 WHERE state = 'attempting'", [])?)
    });
    let lapsed = lapsed.await.unwrap();
    store.close().await.unwrap();
    lapsed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_while_it_sends_leads_to_one_repetition_with_a_mark() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Hang]);
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let (path, origin) = (folder.path().to_owned(), callbacks.origin.clone());
    let child = tokio::task::spawn_blocking(move || gateway_process(&path, &origin, "say hello"));
    let mut child = child.await.unwrap();
    // The request is on its way and will not be answered: the delivery is being attempted.
    assert_eq!(callbacks.next().await.text, "hello");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lapse(folder.path()).await, 1, "the delivery was being attempted");

    let house =
        House::in_folder(folder, vec![account("shop", "acme", &callbacks.origin)], options(), |_| echo())
            .await;
    let again = callbacks.next().await;
    assert_eq!(again.text, format!("{AGAIN}hello"));
    assert_eq!(again.body["redelivery"], true);
    let delivered = deliveries(&house, all(DeliveryState::Delivered)).await;
    assert_eq!((delivered.len(), delivered[0].attempts), (1, 2));
    // Once is once: a further message is heard, and nothing of the old one.
    Post::new("shop", "m2", "next").calling(callbacks.url("/in")).send(&house).await;
    assert_eq!(callbacks.next().await.text, "echo next");
    assert!(callbacks.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_interrupted_twice_is_abandoned() {
    let mut callbacks = Callbacks::start().await;
    callbacks.script("/in", [Say::Hang, Say::Hang]);
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    for (action, text) in [("say hello", "hello".to_owned()), ("nothing", format!("{AGAIN}hello"))] {
        let (path, origin) = (folder.path().to_owned(), callbacks.origin.clone());
        let child = tokio::task::spawn_blocking(move || gateway_process(&path, &origin, action));
        let mut child = child.await.unwrap();
        assert_eq!(callbacks.next().await.text, text);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lapse(folder.path()).await, 1, "the delivery was being attempted");
    }
    let house =
        House::in_folder(folder, vec![account("shop", "acme", &callbacks.origin)], options(), |_| echo())
            .await;
    let abandoned = deliveries(&house, all(DeliveryState::Abandoned)).await;
    assert_eq!(abandoned[0].reason.as_deref(), Some("interrupted"));
    // What must not come cannot be awaited: a moment for what would be wrong.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(callbacks.rest().is_empty());
}
