//! Leak canaries: a planted leak is seen in whatever it is written as, and nothing else is taken for one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use haversack::canary::{Canaries, Encoding, Log, Reader};

/// A value with what each encoding has to escape, and one of letters alone.
const SECRET: &str = "pä\"ss\\wörd/+&\n€😀=%";

/// Standard base64 of RFC 4648, section 4, worked out by hand so that no decoder checks itself.
fn base64(bytes: &[u8], alphabet: &[u8; 64], pad: bool) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let wide = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from(wide[0]) << 16 | u32::from(wide[1]) << 8 | u32::from(wide[2]);
        for digit in 0..4 {
            match digit <= chunk.len() {
                true => text.push(char::from(alphabet[(bits >> (18 - 6 * digit) & 63) as usize])),
                false if pad => text.push('='),
                false => {}
            }
        }
    }
    text
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
        out
    })
}

/// JSON with nothing but ASCII in it, as many writers make it.
fn ascii_json(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut out, unit| {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => write!(out, "\\u{unit:04X}").unwrap(),
        }
        out
    })
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// What the leak of `value` in `haystack` is written as; `None` when it is not seen.
fn seen(value: &str, haystack: &[u8]) -> Option<Vec<Encoding>> {
    let mut canaries = Canaries::new();
    canaries.watch("acme", "a secret", value);
    let mut search = canaries.search();
    search.bytes("the haystack", Reader::Nobody, haystack);
    let leak = search.leaks().next()?;
    assert_eq!((leak.owner(), leak.what(), leak.place()), ("acme", "a secret", "the haystack"));
    assert!(!leak.to_string().contains(value), "a report of a leak is none");
    Some(leak.form().encodings().to_vec())
}

/// Every way in which `value` may leave, each with a few letters around it.
fn leaks(value: &str) -> Vec<(Encoding, Vec<u8>)> {
    let mut leaks = vec![
        (Encoding::Json, serde_json::to_string(value).unwrap().into_bytes()),
        (Encoding::Json, ascii_json(value).into_bytes()),
        (Encoding::Json, ascii_json(value).to_lowercase().into_bytes()),
        (Encoding::Json, format!("{value:?}").into_bytes()),
        (Encoding::Json, value.escape_unicode().to_string().into_bytes()),
        (Encoding::Percent, percent(value).into_bytes()),
        (Encoding::Percent, percent(value).to_lowercase().into_bytes()),
        (Encoding::Hex, hex(value.as_bytes()).into_bytes()),
        (Encoding::Hex, hex(value.as_bytes()).to_uppercase().into_bytes()),
        (Encoding::Hex, format!("f{}", hex(value.as_bytes())).into_bytes()),
        (Encoding::Numbers, format!("{:?}", value.as_bytes()).into_bytes()),
        (Encoding::Numbers, format!("{:#?}", value.as_bytes()).into_bytes()),
        (Encoding::Utf16, utf16(value, u16::to_le_bytes)),
        (Encoding::Utf16, utf16(value, u16::to_be_bytes)),
        (Encoding::Utf16, [vec![b'<'], utf16(value, u16::to_le_bytes)].concat()),
    ];
    for alignment in ["", "u", "us", "use"] {
        let plain = format!("{alignment}{value} and more");
        for alphabet in [STANDARD, FOR_URLS] {
            for pad in [true, false] {
                // Behind a word that no separator ends, the letters begin at any of four places.
                for word in ["", "k", "ke", "key"] {
                    let text = format!("{word}{}", base64(plain.as_bytes(), alphabet, pad));
                    leaks.push((Encoding::Base64, text.into_bytes()));
                }
            }
        }
    }
    let long = format!("{}{value}{}", "x".repeat(70), "y".repeat(70));
    let lines: Vec<String> = base64(long.as_bytes(), STANDARD, true)
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    leaks.push((Encoding::Base64, lines.join("\r\n").into_bytes()));
    leaks
}

#[test]
fn a_leak_is_seen_as_it_is() {
    for value in [SECRET, "letters", "ARN:of:somebody"] {
        let around = format!("before {value} after");
        assert_eq!(seen(value, around.as_bytes()).unwrap(), []);
        assert_eq!(seen(value, value.as_bytes()).unwrap(), []);
        // A header or a host name comes in another case.
        let case = around.to_ascii_lowercase();
        assert_eq!(seen(value, case.as_bytes()).unwrap(), []);
    }
}

#[test]
fn an_encoded_leak_is_seen() {
    let mut wrong = Vec::new();
    for (encoding, leak) in leaks(SECRET) {
        let seen = seen(SECRET, &leak);
        if seen.as_deref() != Some(&[encoding]) {
            wrong.push((encoding, seen, String::from_utf8_lossy(&leak).into_owned()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen("a b c d", b"q=a+b+c+d").unwrap(), [Encoding::Percent]);
}

#[test]
fn a_leak_under_several_encodings_is_seen() {
    let inside = base64(format!("user:{SECRET}").as_bytes(), STANDARD, true);
    let url = percent(&format!("https://h/?token={inside}"));
    let json = serde_json::to_string(&url).unwrap();
    assert_eq!(seen(SECRET, json.as_bytes()).unwrap(), [Encoding::Percent, Encoding::Base64]);
    let nested = hex(ascii_json(&inside).as_bytes());
    let three = [Encoding::Hex, Encoding::Json, Encoding::Base64];
    assert!(ascii_json(&inside).contains('\\'));
    assert_eq!(seen(SECRET, nested.as_bytes()).unwrap(), three);
}

#[test]
fn what_is_no_leak_is_not_seen() {
    for (_, leak) in leaks("another secret: pässwört") {
        assert_eq!(seen(SECRET, &leak), None);
    }
    let garbage: Vec<u8> = (0..40_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(seen(SECRET, &garbage), None);
    assert_eq!(seen(SECRET, &SECRET.as_bytes()[1..]), None);
    for broken in ["\\", "\\u", "\\u{", "\\u{110000}x", "\\ud83d", "%", "%4", "=", "[", "1,2,999,4", "\0"] {
        assert_eq!(seen(SECRET, broken.as_bytes()), None, "{broken}");
    }
}

#[test]
fn an_owner_may_read_what_is_theirs_and_nothing_else() {
    let mut canaries = Canaries::new();
    let (acme, zeta) = (canaries.plant("acme", "a note"), canaries.plant("zeta", "a note"));
    assert!(acme != zeta && !acme.contains(&zeta) && acme.bytes().all(|b| b.is_ascii_alphanumeric()));
    let mut search = canaries.search();
    search.text("acme's answer", Reader::Owner("acme"), &acme);
    search.assert_clean();
    search.text("acme's next answer", Reader::Owner("acme"), &format!("{acme} {zeta}"));
    search.text("a metric", Reader::Nobody, &acme.to_uppercase());
    let leaks: Vec<String> = search.leaks().map(ToString::to_string).collect();
    assert_eq!(
        leaks,
        [
            "a note of acme is in a metric, written as it is",
            "a note of zeta is in acme's next answer, written as it is"
        ]
    );
    assert_eq!((search.sightings().count(), search.looked_at()), (4, 3));
}

#[test]
#[should_panic(expected = "1 values leaked:\n- a key of acme is in the log, written as hex")]
fn a_leak_ends_the_test() {
    let mut canaries = Canaries::new();
    let key = canaries.plant("acme", "a key");
    canaries.search().text("the log", Reader::Nobody, &hex(key.as_bytes())).assert_clean();
}

#[test]
#[should_panic(expected = "1 values were seen nowhere:\n- a key of acme")]
fn a_value_that_is_nowhere_shows_that_the_wrong_place_was_searched() {
    let mut canaries = Canaries::new();
    let _unused = canaries.plant("acme", "a key");
    canaries.search().text("the log", Reader::Nobody, "nothing").assert_all_seen();
}

#[test]
#[should_panic(expected = "nothing was looked at")]
fn a_search_of_nothing_is_not_clean() {
    Canaries::new().search().assert_clean();
}

#[test]
fn files_and_their_names_are_searched() {
    let mut canaries = Canaries::new();
    let (own, name, deep) = (
        canaries.plant("acme", "a note"),
        canaries.plant("zeta", "a file's name"),
        canaries.plant("zeta", "a file"),
    );
    let folder = std::env::temp_dir().join(format!("canary-{own}"));
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    std::fs::write(folder.join("own"), &own).unwrap();
    std::fs::write(folder.join("a").join(&name), "").unwrap();
    std::fs::write(folder.join("a/b/deep"), [b"\0\xff", deep.as_bytes()].concat()).unwrap();
    let mut search = canaries.search();
    let searched = search.files("acme's folder", Reader::Owner("acme"), &folder).map(|_| ());
    let vanished = search.files("nowhere", Reader::Nobody, &folder.join("gone")).map(|_| ());
    std::fs::remove_dir_all(&folder).unwrap();
    searched.and(vanished).unwrap();
    search.assert_all_seen();
    let leaks: Vec<_> = search.leaks().map(|leak| (leak.what(), leak.place().to_owned())).collect();
    assert_eq!(leaks.len(), 2, "{leaks:?}");
    assert!(leaks.contains(&("a file's name", "acme's folder, the name of a file".to_owned())), "{leaks:?}");
    assert!(leaks.iter().any(|(what, place)| *what == "a file" && place.ends_with("a/b/deep")), "{leaks:?}");
}

#[test]
fn the_environment_of_a_child_and_its_arguments_are_searched() {
    let mut canaries = Canaries::new();
    let (token, argument) = (canaries.plant("acme", "a token"), canaries.plant("acme", "an argument"));
    let mut command = Command::new("env");
    command.env("HV_TOKEN", percent(&format!(" {token}"))).env_remove("HOME").arg("-u").arg(&argument);
    let mut search = canaries.search();
    search.command("a child", Reader::Nobody, &command);
    let leaks: Vec<_> = search.leaks().map(ToString::to_string).collect();
    assert_eq!(
        leaks,
        [
            "a token of acme is in a child, variable HV_TOKEN, written as it is",
            "an argument of acme is in a child, an argument, written as it is"
        ]
    );
    // And what a real child says that it sees.
    let seen = Command::new("env").env_clear().env("HV_TOKEN", hex(token.as_bytes())).output().unwrap();
    let mut search = canaries.search();
    search.bytes("what a child saw", Reader::Nobody, &seen.stdout);
    assert_eq!(search.leaks().count(), 1);
}

#[test]
fn a_log_is_searched() {
    let mut canaries = Canaries::new();
    let token = canaries.plant("acme", "a token");
    let log = Log::default();
    writeln!(log.clone(), "{{\"header\":\"{}\"}}", base64(token.as_bytes(), STANDARD, true)).unwrap();
    let mut search = canaries.search();
    search.log("the log", Reader::Nobody, &log);
    assert_eq!(search.leaks().next().unwrap().form().encodings(), [Encoding::Base64]);
    assert!(!format!("{canaries:?} {log:?} {search:?}").contains(&token));
}
