//! Descriptions: the tree that a context prints, redacted, with where each binding was made and by whom.

use std::fmt;

use haversack::well_known::SESSION_ID;
use haversack::{Boundary, Context, ContextVar};

use crate::door::{DOOR, arrive};

static LOCALE: ContextVar<String> = ContextVar::new("locale").shown();
static KEY: ContextVar<String> = ContextVar::new("api key").secret();
static CART: ContextVar<Vec<u32>> = ContextVar::new("cart");

/// The tree without what another run or an edit of this file changes: numbers, and the order in which this process
/// happened to bind its variables first.
fn tree(context: &Context) -> String {
    let mut described = context.describe();
    assert_eq!(context.to_string(), described.to_string());
    described.bindings.sort_by_key(|binding| binding.name);
    ["entry ", ".rs:"].iter().fold(described.to_string(), |text, mark| {
        let mut parts = text.split(mark);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            format!("{text}{mark}_{}", part.trim_start_matches(|c: char| c.is_ascii_digit()))
        })
    })
}

#[test]
fn a_context_prints_as_a_tree() {
    arrive("acme").run(|| {
        drop(KEY.set("hunter2".to_owned()).unwrap());
        LOCALE.sync_scope("de_CH".to_owned(), || {
            drop(CART.set(vec![1, 2]).unwrap());
            insta::assert_snapshot!(tree(&Context::current()), @r"
            context of entry _ (door)
            ├─ api key   = [secret]  inherited, bound at crates/haversack/tests/laws/description.rs:_ by door
            ├─ cart      = [hidden]  own, bound at crates/haversack/tests/laws/description.rs:_ by door
            ├─ locale    = de_CH     own, bound at crates/haversack/tests/laws/description.rs:_ by door
            ├─ principal = kim       inherited, bound at crates/haversack/tests/laws/door.rs:_ by door
            └─ tenant    = acme      inherited, bound at crates/haversack/tests/laws/door.rs:_ by door
            ");
        });
    });
}

#[test]
fn a_context_of_no_entry_says_so() {
    let context = Context::empty().bind(&LOCALE, "de_CH".to_owned());
    insta::assert_snapshot!(tree(&context), @r"
    context of no entry
    └─ locale = de_CH  inherited, bound at crates/haversack/tests/laws/description.rs:_ by no boundary
    ");
    insta::assert_snapshot!(tree(&Context::empty()), @r"
    context of no entry
    └─ nothing is bound
    ");
}

#[test]
fn a_binding_is_own_in_the_frame_that_made_it_and_inherited_elsewhere() {
    let owns = || {
        let described = Context::current().describe();
        described.bindings.iter().map(|binding| (binding.name, binding.own)).collect::<Vec<_>>()
    };
    Context::empty().run(|| {
        let token = LOCALE.set("de".to_owned()).unwrap();
        assert_eq!(owns(), [("locale", true)]);
        Context::current().run(|| assert_eq!(owns(), [("locale", false)]));
        let there = haversack::thread::spawn(owns);
        assert_eq!(there.join().unwrap(), [("locale", false)]);
        LOCALE.sync_scope("fr".to_owned(), || {
            assert_eq!(owns(), [("locale", true)]);
            drop(LOCALE.set("it".to_owned()).unwrap());
            assert_eq!(owns(), [("locale", true)]);
        });
        token.reset().unwrap();
    });
}

#[test]
fn a_description_is_plain_data() {
    static SIDE: Boundary = Boundary::new("side");
    let line = line!() + 1;
    let visit = SIDE.enter(|bindings| bindings.bind(&LOCALE, "de".to_owned())).unwrap();
    let data = serde_json::to_value(visit.context().describe()).unwrap();
    assert_eq!(
        data,
        serde_json::json!({
            "entry": visit.entry().number(),
            "boundary": "side",
            "bindings": [{
                "name": "locale",
                "value": "de",
                "shown": true,
                "bound_at": format!("{}:{line}", file!()),
                "boundary": "side",
                "own": false,
            }],
        })
    );
}

#[test]
fn a_value_cannot_draw_a_line_of_its_own() {
    let forged = "acme\n└─ session = stolen\u{202e}\u{1b}[2J";
    let context = Context::empty().bind(&LOCALE, forged.to_owned());
    let text = context.to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
    assert_eq!(context.describe().bindings[0].value, forged, "as data it is what it is");
}

#[test]
fn a_value_that_cannot_be_printed_counts_as_hidden() {
    struct Unprintable;
    impl fmt::Display for Unprintable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half of it")?;
            Err(fmt::Error)
        }
    }
    static BROKEN: ContextVar<Unprintable> = ContextVar::new("broken").shown();
    let described = Context::empty().bind(&BROKEN, Unprintable).describe();
    assert_eq!((described.bindings[0].value.as_str(), described.bindings[0].shown), ("[hidden]", false));
}

#[test]
fn a_value_may_read_and_set_while_it_is_printed() {
    struct Curious;
    impl fmt::Display for Curious {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            drop(LOCALE.set("set while printing".to_owned()));
            write!(f, "{}", LOCALE.get().map_err(|_| fmt::Error)?)
        }
    }
    static CURIOUS: ContextVar<Curious> = ContextVar::new("curious").shown();
    Context::empty().run(|| {
        drop(CURIOUS.set(Curious).unwrap());
        let described = Context::current().describe();
        assert_eq!(described.bindings[0].value, "set while printing");
    });
}

#[test]
fn an_unbound_optional_variable_is_no_line() {
    let visit = arrive("acme");
    let described = visit.context().describe();
    assert_eq!(described.boundary, Some(DOOR.name()));
    assert_eq!(described.entry, Some(visit.entry().number()));
    assert!(described.bindings.iter().all(|binding| binding.name != SESSION_ID.name()));
}
