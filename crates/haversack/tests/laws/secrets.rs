//! A secret comes out nowhere, whatever it is written as: every text that the library makes is searched for a canary.

use haversack::canary::{Canaries, Log, Reader};
use haversack::{Context, ContextVar, FutureExt};

use crate::door::arrive;

static KEY: ContextVar<String> = ContextVar::new("provider key").portable(1).secret();
static HIDDEN: ContextVar<String> = ContextVar::new("a note");
static OTHER: ContextVar<u32> = ContextVar::new("nothing");

#[test]
fn a_secret_is_in_no_text_that_the_library_makes() {
    let mut canaries = Canaries::new();
    let (key, hidden) = (canaries.plant("acme", "the key"), canaries.plant("acme", "the note"));
    let log = Log::default();
    let mut texts: Vec<(&str, String)> = Vec::new();
    let visit = arrive("acme");
    let context = visit.context().bind(&KEY, key.clone()).bind(&HIDDEN, hidden.clone());
    context.clone().run(|| {
        let token = KEY.set(key.clone()).unwrap();
        let described = Context::current().describe();
        texts.push(("the context", format!("{0} {0:?} {0:#?}", Context::current())));
        texts.push(("the description", format!("{described} {described:?}")));
        texts.push(("its JSON", serde_json::to_string(&described).unwrap()));
        texts.push(("the variable", format!("{KEY:?} {:?}", KEY.policy())));
        texts.push(("the missing one", format!("{0} {0:?}", OTHER.get().unwrap_err())));
        texts.push((
            "the foreign entry",
            format!("{0} {0:?}", arrive("zeta").entry().check("it").unwrap_err()),
        ));
        texts.push(("the token", format!("{token:?}")));
        let older = KEY.set(key.clone()).unwrap();
        texts.push(("the refused reset", format!("{0} {0:?}", token.reset().unwrap_err())));
        drop(older);
        let wrapped = async {}.in_current_context();
        let scope = KEY.scope(key.clone(), async {});
        texts.push(("the wrappers", format!("{wrapped:?} {scope:?}")));
        logged(&log, || {
            #[cfg(feature = "tracing")]
            tracing::info!(context = %Context::current(), "at work");
        });
    });
    texts.push(("the visit", format!("{visit:?} {:?}", visit.entry())));
    texts.push(("the set outside", format!("{0} {0:?}", KEY.set(key.clone()).unwrap_err())));
    let mut search = canaries.search();
    for (place, text) in &texts {
        search.text(place, Reader::Nobody, text);
    }
    search.log("the log", Reader::Nobody, &log);
    search.assert_clean();
    // They are there for the work itself.
    search.text(
        "the work",
        Reader::Owner("acme"),
        &context.run(|| KEY.get().unwrap() + &HIDDEN.get().unwrap()),
    );
    search.assert_all_seen();
}

#[cfg(feature = "tracing")]
fn logged(log: &Log, work: impl FnOnce()) {
    use tracing_subscriber::layer::SubscriberExt as _;
    let writer = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        let span = tracing::info_span!("request");
        span.in_scope(work);
    });
    assert!(!log.bytes().is_empty());
}

#[cfg(not(feature = "tracing"))]
fn logged(_: &Log, work: impl FnOnce()) {
    work();
}

#[test]
#[cfg(feature = "snapshot")]
fn a_secret_that_travels_is_sealed() {
    use haversack::{Keyring, Manifest, SealedFor, Snapshot, manifest};
    static OUT: Manifest = manifest![; KEY];
    let mut canaries = Canaries::new();
    let key = canaries.plant("acme", "the key");
    let keys = Keyring::generate().unwrap();
    let sealed_for = SealedFor { tenant: "acme", queue: "mail", id: "1" };
    let snapshot = arrive("acme").context().bind(&KEY, key).run(|| OUT.capture().unwrap());
    let sealed = snapshot.seal(b"payload", &keys, &sealed_for).unwrap();
    let mut search = canaries.search();
    search.bytes("the envelope", Reader::Nobody, &sealed);
    search.text("the snapshot", Reader::Nobody, &format!("{snapshot:?}"));
    search.assert_clean();
    let (opened, _) = Snapshot::open(&sealed, &keys, &sealed_for).unwrap();
    let visit = opened.restore(&OUT, &haversack::testing::BOUNDARY, |bindings| bindings).unwrap();
    search.text("the work", Reader::Owner("acme"), &visit.run(|| KEY.get().unwrap()));
    search.assert_all_seen();
}
