//! Capturing: complete, declared, and of bounded size.

use haversack::snapshot::MAX_SNAPSHOT_BYTES;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{CaptureError, Context, ContextVar, Manifest, Reason, manifest};

use super::{LOCAL, LOCALE, OUT, TOKEN, arrive, captured};

#[test]
fn only_what_is_listed_and_bound_leaves() {
    static COLOUR: ContextVar<String> = ContextVar::new("colour").portable(1);
    let snapshot = captured(&OUT, |bindings| {
        bindings.bind(&LOCALE, "de".into()).bind(&COLOUR, "red".into()).bind(&LOCAL, 1)
    });
    assert_eq!(snapshot.variables().collect::<Vec<_>>(), ["tenant", "principal", "locale"]);
    let mut left: Vec<_> = snapshot.left_behind().collect();
    left.sort_unstable();
    assert_eq!(left, ["colour", "local"]);
}

#[test]
fn a_required_variable_that_is_unbound_is_loud() {
    static NEEDS_LOCALE: Manifest = manifest![TENANT_ID, LOCALE];
    let (error, line) = arrive(|bindings| bindings).run(|| (NEEDS_LOCALE.capture().unwrap_err(), line!()));
    let CaptureError::Missing(missing) = &error else { panic!("{error}") };
    assert_eq!((missing.variable(), missing.at().line(), missing.boundary()), ("locale", line, Some("http")));
    assert!(error.to_string().contains("cannot leave the process"), "{error}");
}

#[test]
fn nothing_leaves_from_outside_a_door() {
    static NOTHING: Manifest = manifest![];
    for missing in [NOTHING.capture(), Context::empty().run(|| NOTHING.capture())] {
        let Err(CaptureError::Missing(missing)) = missing else { panic!("{missing:?}") };
        assert_eq!(missing.variable(), "entry");
    }
    assert_eq!(captured(&NOTHING, |bindings| bindings).variables().count(), 0);
}

#[test]
fn a_default_does_not_travel() {
    static DEFAULTED: ContextVar<u32> = ContextVar::new("defaulted").default(|| 7).portable(1);
    static OPTIONAL: Manifest = manifest![; DEFAULTED];
    static REQUIRED: Manifest = manifest![DEFAULTED];
    assert_eq!(captured(&OPTIONAL, |bindings| bindings).variables().count(), 0);
    let error = arrive(|bindings| bindings).run(|| REQUIRED.capture().unwrap_err());
    assert!(matches!(&error, CaptureError::Missing(m) if m.reason() == Reason::NeverBound), "{error}");
}

#[test]
fn a_context_that_is_too_large_does_not_leave() {
    static SMALL: Manifest = manifest![TENANT_ID, PRINCIPAL; LOCALE, TOKEN];
    let try_with = |bytes: usize| {
        arrive(|bindings| bindings.bind(&TOKEN, "x".repeat(bytes))).run(|| SMALL.capture().map(drop))
    };
    // What the names, the quotes and the two ids take.
    let beside =
        ["tenant", "\"acme\"", "principal", "\"ada\"", "token", "\"\""].map(str::len).iter().sum::<usize>();
    try_with(MAX_SNAPSHOT_BYTES - beside).unwrap();
    let error = try_with(MAX_SNAPSHOT_BYTES - beside + 1).unwrap_err();
    let CaptureError::TooLarge { bytes, largest } = &error else { panic!("{error}") };
    assert_eq!((*bytes, largest.as_deref()), (MAX_SNAPSHOT_BYTES + 1, Some("token")));
    assert!(error.to_string().contains("`token`"), "{error}");
}

#[test]
fn a_value_that_cannot_be_encoded_is_loud_and_not_quoted() {
    use std::collections::BTreeMap;
    // JSON has text keys only.
    static ODD: ContextVar<BTreeMap<Vec<u8>, u32>> = ContextVar::new("odd").portable(1);
    static WITH_ODD: Manifest = manifest![; ODD];
    let odd = BTreeMap::from([(vec![47, 11], 4711)]);
    let error = arrive(|bindings| bindings.bind(&ODD, odd)).run(|| WITH_ODD.capture().unwrap_err());
    assert!(matches!(error, CaptureError::Unencodable { variable: "odd" }), "{error}");
    assert!(!error.to_string().contains("47"), "{error}");
}

#[test]
fn every_snapshot_has_an_id_of_its_own() {
    let ids = [(); 3].map(|()| captured(&OUT, |bindings| bindings).id().to_owned());
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn a_manifest_and_a_snapshot_print_names_and_no_values() {
    assert_eq!(
        format!("{OUT:?}"),
        "Manifest { required: [\"tenant\", \"principal\"], optional: [\"session\", \"request\", \"locale\", \
         \"token\"] }"
    );
    let snapshot = captured(&OUT, |bindings| bindings.bind(&TOKEN, "hunter2".into()));
    let text = format!("{snapshot:?} {snapshot:#?}");
    assert!(text.contains("token v1 (optional, 9 bytes)") && text.contains("\"http\""), "{text}");
    for value in ["hunter2", "acme", "ada"] {
        assert!(!text.contains(value), "{value} in {text}");
    }
}
