//! Format 1 stays readable: a key ring and an envelope of the first release, kept as they were written.
//!
//! The files are never written anew. A release that writes another format adds files of its own and reads these.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack::{ContextVar, Keyring, Manifest, Reason, SealedFor, Snapshot, manifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{WORKER, arrive, by_hand};

const RING: &str = include_str!("../../golden/keyring-1.txt");
const SEALED: &str = include_str!("../../golden/snapshot-1.base64");
const PLAIN: &str = include_str!("../../golden/snapshot-1.json");
const PAYLOAD: &[u8] = b"{\"to\":\"\xf0\x9f\x8f\x94\"}";
const RECEIVER: SealedFor<'static> = SealedFor { tenant: "Zürich 🏔", queue: "mail", id: "job:1|a%b" };

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Prices {
    name: String,
    large: u64,
    exact: f64,
    none: Option<bool>,
}

static PRICES: ContextVar<Prices> = ContextVar::new("prices").portable(3);
static TOKEN: ContextVar<String> = ContextVar::new("token").portable(1).secret();
static OPEN: ContextVar<u32> = ContextVar::new("open transaction").confined();
static COLOUR: ContextVar<String> = ContextVar::new("colour").portable(1);
static WRITES: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, PRICES, TOKEN, COLOUR];
static READS: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, REQUEST_ID, PRICES, TOKEN];

fn prices() -> Prices {
    Prices { name: "äpfel".into(), large: u64::MAX, exact: 0.1 + 0.2, none: None }
}

fn sealed() -> Vec<u8> {
    STANDARD.decode(SEALED.replace('\n', "")).unwrap()
}

#[test]
fn the_first_format_is_opened_and_restored() {
    let keys = Keyring::parse(RING).unwrap();
    let (snapshot, payload) = Snapshot::open(&sealed(), &keys, &RECEIVER).unwrap();
    assert_eq!(payload, PAYLOAD);
    assert_eq!((snapshot.origin(), snapshot.expires_at()), ("http", None));
    snapshot.restore(&READS, &WORKER, |bindings| bindings).unwrap().run(|| {
        assert_eq!(TENANT_ID.get().unwrap().as_str(), "Zürich 🏔");
        assert_eq!(PRINCIPAL.get().unwrap().as_str(), "ada");
        assert_eq!(SESSION_ID.get().unwrap().as_str(), "s \"1\"\n");
        assert_eq!(TOKEN.get().unwrap(), "hunter2");
        assert_eq!(PRICES.get().unwrap(), prices());
        assert_eq!(OPEN.get().unwrap_err().reason(), Reason::LeftBehind);
        assert_eq!(COLOUR.get().unwrap_err().reason(), Reason::NotInManifest);
        assert_eq!(REQUEST_ID.get().unwrap_err().reason(), Reason::NeverBound);
    });
}

#[test]
fn the_first_format_is_as_it_is_documented() {
    let (snapshot, payload) = by_hand::open(RING, &sealed(), &RECEIVER);
    assert_eq!((snapshot.as_str(), payload.as_slice()), (PLAIN.trim_end(), PAYLOAD));
}

#[test]
fn what_is_written_now_is_the_first_format_byte_for_byte() {
    let keys = Keyring::generate().unwrap();
    let visit = arrive(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new(RECEIVER.tenant).unwrap())
            .bind(&SESSION_ID, SessionId::new("s \"1\"\n").unwrap())
            .bind(&PRICES, prices())
            .bind(&TOKEN, "hunter2".into())
            .bind(&OPEN, 1)
            .bind(&COLOUR, "red".into())
    });
    let snapshot = visit.run(|| WRITES.capture().unwrap());
    let sealed = snapshot.seal(PAYLOAD, &keys, &RECEIVER).unwrap();
    let (written, payload) = by_hand::open(&keys.to_text(), &sealed, &RECEIVER);
    assert_eq!(payload, PAYLOAD);
    // All but what is another each time.
    let plain: Value = serde_json::from_str(PLAIN).unwrap();
    let written = written
        .replacen(snapshot.id(), plain["id"].as_str().unwrap(), 1)
        .replacen(&snapshot.created_at().to_string(), &plain["created"].to_string(), 1)
        .replacen(&format!("\"entry\":{}", snapshot.entry()), &format!("\"entry\":{}", plain["entry"]), 1);
    assert_eq!(written, PLAIN.trim_end());
}
