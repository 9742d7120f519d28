//! Whatever the values are: they come back as they left, and only where they were sent.

use std::collections::BTreeMap;

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{ContextVar, Keyring, Manifest, OpenError, SealedFor, Snapshot, manifest};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{WORKER, arrive};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Number(i64),
    Large(u64),
    Fraction(f64),
    Text(String),
    Bytes(Vec<u8>),
    Many { entries: BTreeMap<String, Option<Value>>, last: Box<Value> },
}

static VALUE: ContextVar<Value> = ContextVar::new("value").portable(1);
static TEXT: ContextVar<String> = ContextVar::new("text").portable(7).secret();
static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL, VALUE; TEXT];
static BARE: Manifest = manifest![TENANT_ID, PRINCIPAL];
static OPTIONAL: Manifest = manifest![TENANT_ID, PRINCIPAL; VALUE, TEXT];

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nothing),
        any::<i64>().prop_map(Value::Number),
        any::<u64>().prop_map(Value::Large),
        // Zero of either sign, subnormals and all; JSON has no infinity.
        (proptest::num::f64::ZERO | proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL)
            .prop_map(Value::Fraction),
        ".{0,40}".prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 4, |value| {
        (btree_map(".{0,8}", proptest::option::of(value.clone()), 0..4), value)
            .prop_map(|(entries, last)| Value::Many { entries, last: Box::new(last) })
    })
}

/// Tenant, queue and id: short, of few letters, so that some are each other's beginnings.
fn receivers() -> impl Strategy<Value = [String; 3]> {
    proptest::array::uniform3("[ab:|]{0,3}")
}

fn bound_to([tenant, queue, id]: &[String; 3]) -> SealedFor<'_> {
    SealedFor { tenant, queue, id }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back_as_it_left(
        value in values(),
        text in proptest::option::of(".{0,100}"),
        payload in vec(any::<u8>(), 0..300),
        receiver in receivers(),
    ) {
        let keys = Keyring::generate().unwrap();
        let visit = arrive(|bindings| bindings.bind(&VALUE, value.clone()).bind_some(&TEXT, text.clone()));
        let sealed = visit.run(|| OUT.capture().unwrap().seal(&payload, &keys, &bound_to(&receiver)).unwrap());
        let (snapshot, there) = Snapshot::open(&sealed, &keys, &bound_to(&receiver)).unwrap();
        prop_assert_eq!(there, payload);
        let visit = snapshot.restore(&OUT, &WORKER, |bindings| bindings).unwrap();
        prop_assert_eq!(visit.run(|| (VALUE.get().unwrap(), TEXT.get().ok())), (value, text));
    }

    #[test]
    fn any_value_passes_through_a_process_that_does_not_know_it(value in values()) {
        let visit = arrive(|bindings| bindings.bind(&VALUE, value.clone()));
        let through = |snapshot: Snapshot| super::through(&snapshot);
        let first = through(visit.run(|| OPTIONAL.capture().unwrap()));
        let visit = first.restore(&BARE, &WORKER, |bindings| bindings).unwrap();
        let second = through(visit.run(|| BARE.capture().unwrap()));
        let visit = second.restore(&OPTIONAL, &WORKER, |bindings| bindings).unwrap();
        prop_assert_eq!(visit.run(|| VALUE.get().unwrap()), value);
    }

    #[test]
    fn no_receiver_opens_what_is_another_s(first in receivers(), second in receivers()) {
        let keys = Keyring::generate().unwrap();
        let snapshot = arrive(|bindings| bindings).run(|| BARE.capture().unwrap());
        let sealed = snapshot.seal(b"", &keys, &bound_to(&first)).unwrap();
        let opened = Snapshot::open(&sealed, &keys, &bound_to(&second)).map(drop);
        prop_assert_eq!(opened, if first == second { Ok(()) } else { Err(OpenError::Forged) });
    }

    #[test]
    fn no_bytes_open_or_panic(noise in vec(any::<u8>(), 0..200), after_the_magic in any::<bool>()) {
        let keys = Keyring::generate().unwrap();
        let bytes = if after_the_magic { [b"HVSEAL\0\x01", noise.as_slice()].concat() } else { noise };
        prop_assert!(Snapshot::open(&bytes, &keys, &super::JOB).is_err());
    }

    #[test]
    fn no_text_parses_to_a_ring_or_panics(text in "(haversack-keyring [0-9]{0,3}\n)?.{0,200}") {
        prop_assert!(Keyring::parse(&text).is_err());
    }
}
