//! The seal: only the key opens, only for the same receiver, and each wrong envelope says what is wrong.

use std::time::Duration;

use haversack::{Keyring, KeyringError, OpenError, SealError, SealedFor, Snapshot};

use super::{JOB, OUT, TOKEN, WORKER, by_hand, captured};

const PAYLOAD: &[u8] = b"the arguments, hunter2";

fn sealed(keys: &Keyring) -> Vec<u8> {
    captured(&OUT, |bindings| bindings.bind(&TOKEN, "hunter2".into())).seal(PAYLOAD, keys, &JOB).unwrap()
}

#[track_caller]
fn refused(sealed: &[u8], keys: &Keyring, bound_to: &SealedFor<'_>) -> OpenError {
    Snapshot::open(sealed, keys, bound_to).unwrap_err()
}

#[test]
fn what_was_sealed_opens_for_its_receiver() {
    let keys = Keyring::generate().unwrap();
    let (snapshot, payload) = Snapshot::open(&sealed(&keys), &keys, &JOB).unwrap();
    assert_eq!(payload, PAYLOAD);
    assert_eq!((snapshot.origin(), snapshot.variables().count()), ("http", 3));
}

#[test]
fn nothing_of_it_can_be_read_without_the_key() {
    let sealed = sealed(&Keyring::generate().unwrap());
    // Long enough that chance does not write one; of three letters, the id of one key in seven hundred has one.
    for canary in ["hunter2", "\"acme\"", "\"ada\"", "tenant", "token", "arguments"] {
        assert!(!sealed.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
    }
}

#[test]
fn the_same_work_is_never_sealed_to_the_same_bytes() {
    let keys = Keyring::generate().unwrap();
    let snapshot = captured(&OUT, |bindings| bindings);
    let all = [(); 2].map(|()| snapshot.seal(PAYLOAD, &keys, &JOB).unwrap());
    assert_ne!(all[0], all[1]);
}

#[test]
fn an_envelope_of_another_job_queue_or_tenant_does_not_open() {
    let keys = Keyring::generate().unwrap();
    let sealed = sealed(&keys);
    for other in [
        SealedFor { id: "job-2", ..JOB },
        SealedFor { queue: "other", ..JOB },
        SealedFor { tenant: "globex", ..JOB },
        // The same bytes, cut elsewhere.
        SealedFor { tenant: "acmem", queue: "ail", ..JOB },
        SealedFor { queue: "mailjob-1", id: "", ..JOB },
    ] {
        assert_eq!(refused(&sealed, &keys, &other), OpenError::Forged, "{other:?}");
    }
}

#[test]
fn each_wrong_envelope_says_what_is_wrong() {
    let keys = Keyring::generate().unwrap();
    let sealed = sealed(&keys);
    let newer = {
        let mut newer = sealed.clone();
        newer[7] = 9;
        newer
    };
    let longer = [sealed.as_slice(), b"x"].concat();
    let other = Keyring::generate().unwrap();
    let id = keys.keys().next().unwrap().id;
    let wrong = [
        refused(br#"{"tenant":"acme"}"#, &keys, &JOB),
        refused(&sealed[..sealed.len() - 1], &keys, &JOB),
        refused(&newer, &keys, &JOB),
        refused(&sealed, &other, &JOB),
        refused(&sealed, &keys, &SealedFor { id: "job-2", ..JOB }),
        refused(&longer, &keys, &JOB),
    ];
    let unknown = OpenError::UnknownKey { key: id };
    let expected = [
        OpenError::NotSealed,
        OpenError::Truncated,
        OpenError::NewerFormat { format: 9 },
        unknown,
        OpenError::Forged,
        OpenError::Damaged,
    ];
    assert_eq!(wrong, expected);
    assert_eq!(
        wrong.iter().map(OpenError::parks).collect::<Vec<_>>(),
        [false, false, true, true, false, false]
    );
    let mut texts: Vec<String> = wrong.iter().map(OpenError::to_string).collect();
    assert!(texts.iter().all(|text| !text.contains("acme") && !text.contains("job-")), "{texts:?}");
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), expected.len());
}

#[test]
fn no_truncation_and_no_flipped_bit_opens_or_panics() {
    let keys = Keyring::generate().unwrap();
    let sealed = sealed(&keys);
    for length in 0..sealed.len() {
        assert_eq!(refused(&sealed[..length], &keys, &JOB), OpenError::Truncated, "{length}");
    }
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1 << bit;
            refused(&flipped, &keys, &JOB);
        }
    }
    for noise in [&[0xff; 64][..], b"HVSEAL\0", b"HVSEAL\0\x01\xff", b"HVSEAL\0\x01\x01a\xff\xff\xff\xff"] {
        refused(noise, &keys, &JOB);
    }
}

#[test]
fn what_a_key_holder_sealed_wrongly_is_an_error_too() {
    let keys = Keyring::generate().unwrap();
    let opened = |snapshot: &str| {
        let length = u32::try_from(snapshot.len()).unwrap().to_be_bytes();
        let text = [&length[..], snapshot.as_bytes(), b"payload"].concat();
        Snapshot::open(&by_hand::seal(&keys.to_text(), &text, &JOB), &keys, &JOB)
    };
    let snapshot = |format: u32, variables: &str, more: &str| {
        format!(
            r#"{{"format":{format},"id":"i","created":1,"expires":null,"origin":"http","entry":1,
               "variables":[{variables}],"left_behind":[]{more}}}"#
        )
    };
    let tenant = r#"{"name":"tenant","version":1,"required":true,"data":"acme","colour":"red"}"#;
    let principal = r#"{"name":"principal","version":1,"required":true,"data": "ada" }"#;
    let both = format!("{tenant},{principal}");
    let (good, payload) = opened(&snapshot(1, &both, r#","more":[1]"#)).unwrap();
    assert_eq!(payload, b"payload");
    drop(good.restore(&OUT, &WORKER, |bindings| bindings).unwrap());

    let newer = opened(r#"{"format":2,"wholly":"different"}"#).unwrap_err();
    assert_eq!(newer, OpenError::NewerFormat { format: 2 });
    assert!(newer.parks());
    assert_eq!(opened(&snapshot(3, &both, "")).unwrap_err(), OpenError::NewerFormat { format: 3 });
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for damaged in [
        "",
        "{}",
        "\u{0}",
        &nested,
        &snapshot(0, &both, ""),
        &snapshot(1, &format!("{tenant},{tenant}"), ""),
        &snapshot(1, r#"{"name":"tenant","version":-1,"required":true,"data":1}"#, ""),
        &snapshot(1, &both, "")[1..],
    ] {
        assert_eq!(opened(damaged).unwrap_err(), OpenError::Damaged, "{damaged:.60}");
    }
    for text in [&b""[..], b"\0\0\0", b"\0\0\0\x09{}", b"\xff\xff\xff\xff"] {
        let sealed = by_hand::seal(&keys.to_text(), text, &JOB);
        assert_eq!(refused(&sealed, &keys, &JOB), OpenError::Damaged, "{text:?}");
    }
}

#[test]
fn a_rotation_fails_nothing_in_flight() {
    let first = Keyring::generate().unwrap();
    let before = sealed(&first);
    let second = first.rotate(Duration::from_secs(3600)).unwrap();
    let after = sealed(&second);
    for sealed in [&before, &after] {
        Snapshot::open(sealed, &second, &JOB).unwrap();
    }
    assert!(matches!(refused(&after, &first, &JOB), OpenError::UnknownKey { .. }), "the new key seals");
    let infos: Vec<_> = second.keys().collect();
    assert_eq!(infos.iter().map(|key| key.seals).collect::<Vec<_>>(), [false, true]);
    assert!(infos[0].retires_at.is_some() && infos[1].retires_at.is_none());
    assert!(infos[0].created_at < infos[1].created_at);
}

#[test]
fn a_retired_key_opens_no_more_and_stays_in_the_ring_for_another_overlap() {
    let first = Keyring::generate().unwrap();
    let before = sealed(&first);
    let second = first.rotate(Duration::ZERO).unwrap();
    let id = first.keys().next().unwrap().id;
    assert_eq!(refused(&before, &second, &JOB), OpenError::RetiredKey { key: id.clone() });
    let third = second.rotate(Duration::from_secs(3600)).unwrap();
    assert_eq!(refused(&before, &third, &JOB), OpenError::RetiredKey { key: id.clone() });
    assert_eq!(third.keys().count(), 3);
    // A second rotation does not lengthen the life of a key that retires already.
    let fourth = third.rotate(Duration::from_secs(7200)).unwrap();
    let retires = |ring: &Keyring, index: usize| ring.keys().nth(index).unwrap().retires_at;
    assert_eq!(retires(&fourth, 1), retires(&third, 1));
    let fifth = fourth.rotate(Duration::ZERO).unwrap();
    assert_eq!(refused(&before, &fifth, &JOB), OpenError::UnknownKey { key: id });
}

#[test]
fn a_clock_that_jumped_over_a_key_loses_nothing_although_keys_were_rotated_meanwhile() {
    let first = Keyring::generate().unwrap();
    let before = sealed(&first);
    // The key retires in an hour, and the clock that rotates is years ahead: as if it had retired years ago.
    let second = first.rotate(Duration::from_secs(3600)).unwrap();
    let id = first.keys().next().unwrap().id;
    let soon = second.keys().next().unwrap().retires_at.unwrap().to_string();
    let ahead = second.to_text().replace(&soon, "1000").replace(&made(&second, 0), "998");
    let ahead = Keyring::parse(&ahead.replace(&made(&second, 1), "999")).unwrap();
    let refused_for = refused(&before, &ahead, &JOB);
    assert_eq!(refused_for, OpenError::RetiredKey { key: id });
    assert!(refused_for.parks());
    let rotated = ahead.rotate(Duration::from_secs(3600)).unwrap();
    // The clock is right again.
    let again = Keyring::parse(&rotated.to_text().replace(" 1000 ", &format!(" {soon} "))).unwrap();
    Snapshot::open(&before, &again, &JOB).unwrap();
}

fn made(ring: &Keyring, index: usize) -> String {
    ring.keys().nth(index).unwrap().created_at.to_string()
}

#[test]
fn a_ring_without_a_living_key_seals_nothing() {
    let text = "haversack-keyring 1\nk_00000000 1 2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let retired = Keyring::parse(text).unwrap();
    let snapshot = captured(&OUT, |bindings| bindings);
    assert_eq!(snapshot.seal(b"", &retired, &JOB).unwrap_err(), SealError::NoKey);
}

#[test]
fn a_ring_goes_through_its_text_whole() {
    let ring = Keyring::generate().unwrap().rotate(Duration::from_secs(60)).unwrap();
    let text = ring.to_text();
    let again = Keyring::parse(&text).unwrap();
    assert_eq!(again.keys().collect::<Vec<_>>(), ring.keys().collect::<Vec<_>>());
    assert_eq!(*again.to_text(), *text);
    Snapshot::open(&sealed(&ring), &again, &JOB).unwrap();
    assert_eq!(Keyring::parse(&text.replace('\n', "\r\n")).unwrap().keys().count(), 2);
}

#[test]
fn a_text_that_is_no_ring_says_what_is_wrong_and_quotes_nothing() {
    let key = "k_0a 5 - AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let bad = |lines: &str| Keyring::parse(&format!("haversack-keyring 1\n{lines}")).unwrap_err();
    for line in ["hunter2", "k_0a 5 -", "k_0a 5 - AAAA", "K/0a 5 - ", "k_0a x - ", "k_0a 5 y "] {
        let line = if line.ends_with(' ') { format!("{line}{}", &key[9..]) } else { line.to_owned() };
        let error = bad(&format!("\n# a remark\n{line}\n"));
        assert_eq!(error, KeyringError::BadLine { line: 4 }, "{line}");
        assert!(!error.to_string().contains("hunter2"));
    }
    assert_eq!(bad(&format!("{key}\n{key}")), KeyringError::RepeatedId { line: 3 });
    assert_eq!(bad(&format!("{key} more")), KeyringError::BadLine { line: 2 });
    assert_eq!(bad(""), KeyringError::Empty);
    assert_eq!(Keyring::parse("").unwrap_err(), KeyringError::NotAKeyring);
    assert_eq!(Keyring::parse("{}").unwrap_err(), KeyringError::NotAKeyring);
    let newer = Keyring::parse("haversack-keyring 2\n").unwrap_err();
    assert_eq!(newer, KeyringError::NewerFormat { format: 2 });
}

#[test]
fn a_ring_prints_no_secret() {
    let ring = Keyring::generate().unwrap();
    let text = ring.to_text();
    let secret = text.trim_end().rsplit(' ').next().unwrap();
    let printed = format!("{ring:?} {ring:#?} {text:?} {:?}", ring.keys().collect::<Vec<_>>());
    assert!(!printed.contains(secret) && printed.contains("k_"), "{printed}");
}
