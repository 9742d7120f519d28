//! Entries: foreign is loud. Identity is checked, and not only present.

use std::collections::HashSet;

use haversack::{Context, ContextVar, Entry, ForeignContext, Reason};

use crate::door::{arrive, tenant};

/// A handle, as stores and tools have them: it keeps the entry it was made under.
struct Handle(Entry);

impl Handle {
    fn open() -> Self {
        Self(Entry::current().unwrap())
    }

    fn use_it(&self) -> Result<Option<String>, ForeignContext> {
        self.0.check("handle")?;
        Ok(tenant())
    }
}

#[test]
fn a_handle_works_in_the_entry_that_made_it() {
    let ours = arrive("ours");
    let handle = ours.run(Handle::open);
    assert_eq!(ours.run(|| handle.use_it()).unwrap().as_deref(), Some("ours"));
    // Also in another frame, and in another thread, of the same entry.
    ours.run(|| {
        static NOTE: ContextVar<u32> = ContextVar::new("note");
        NOTE.sync_scope(1, || handle.use_it().unwrap());
        let there = haversack::thread::spawn(move || handle.use_it().unwrap());
        assert_eq!(there.join().unwrap().as_deref(), Some("ours"));
    });
}

#[test]
fn foreign_is_loud() {
    let (ours, theirs) = (arrive("ours"), arrive("theirs"));
    let handle = ours.run(Handle::open);
    let error = theirs.run(|| handle.use_it()).unwrap_err();
    assert_eq!(error.what(), "handle");
    assert_eq!((error.made_under(), error.used_under()), (ours.entry(), Some(theirs.entry())));
    let text = error.to_string();
    for part in ["handle", &ours.entry().to_string(), &theirs.entry().to_string(), "entry.rs"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_handle_outside_of_every_entry_is_foreign_too() {
    let handle = arrive("ours").run(Handle::open);
    for error in [handle.use_it(), Context::empty().run(|| handle.use_it())].map(Result::unwrap_err) {
        assert_eq!(error.used_under(), None);
        assert!(error.to_string().contains("no entry"), "{error}");
    }
}

#[test]
fn the_same_tenant_twice_is_two_entries() {
    let (first, second) = (arrive("acme"), arrive("acme"));
    let handle = first.run(Handle::open);
    assert!(second.run(|| handle.use_it()).is_err());
}

#[test]
fn entries_are_unique_over_threads() {
    let mint = || (0..500).map(|_| arrive("acme").entry().number()).collect::<Vec<_>>();
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(mint)).collect();
    let all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

#[test]
fn outside_of_every_entry_there_is_no_current_one() {
    let error = Entry::current().unwrap_err();
    assert_eq!((error.variable(), error.reason()), ("entry", Reason::NoFrame));
    let error = Context::empty().run(|| Entry::current().unwrap_err());
    assert_eq!(error.reason(), Reason::NeverBound);
}

#[test]
fn a_context_knows_its_entry_and_so_does_every_copy() {
    let visit = arrive("acme");
    let context = visit.context();
    assert_eq!(context.entry(), Some(visit.entry()));
    static NOTE: ContextVar<u32> = ContextVar::new("note");
    assert_eq!(context.bind(&NOTE, 1).entry(), Some(visit.entry()));
    visit.run(|| {
        drop(NOTE.set(1).unwrap());
        assert_eq!(Context::current().entry(), Some(visit.entry()));
        Context::empty().run(|| assert_eq!(Context::current().entry(), None));
    });
}

#[test]
fn an_entry_names_its_boundary() {
    let entry = arrive("acme").entry();
    assert_eq!(entry.boundary(), "door");
    assert_eq!(entry.to_string(), format!("entry {} (door)", entry.number()));
    assert_eq!(format!("{entry:?}"), entry.to_string());
}
