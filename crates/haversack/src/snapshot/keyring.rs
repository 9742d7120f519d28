//! Key rings: the keys that seal and open snapshots.
//!
//! A ring is a value: rotating makes a new one. The newest key seals; each key opens what it sealed until it
//! retires. Secrets are wiped from memory with the last copy of the ring, and are in no `Debug` and no error.

use std::fmt::{self, Write};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::KeyringError;
use super::{now, random_hex};

const SECRET_BYTES: usize = 32;
/// The first line of the text of a ring.
const TITLE: &str = "haversack-keyring";
const FORMAT: u32 = 1;
const LONGEST_ID: usize = 32;

/// The keys of an installation. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use haversack::Keyring;
///
/// let ring = Keyring::generate().unwrap();
/// let rotated = ring.rotate(Duration::from_secs(7 * 24 * 3600)).unwrap();
/// assert_eq!(rotated.keys().count(), 2);
/// assert_eq!(Keyring::parse(&rotated.to_text()).unwrap().keys().count(), 2);
/// ```
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[Key]>,
}

/// What may be told of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInfo {
    /// Its name: `k_` and eight hexadecimal digits.
    pub id: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: i64,
    /// When it stops opening, in milliseconds since the epoch; `None` while it is not replaced.
    pub retires_at: Option<i64>,
    /// Whether it seals what is sealed now.
    pub seals: bool,
}

/// The whole text of a ring, **with the secrets**. It reads as a `str`, is wiped from memory when it is dropped, and is in no
/// `Debug`; whoever copies it has a text that is neither.
///
/// ```
/// let text = haversack::Keyring::generate().unwrap().to_text();
/// assert!(text.lines().last().unwrap().starts_with("k_"));
/// assert_eq!(format!("{text:?}"), "KeyringText(..)");
/// ```
pub struct KeyringText(Zeroizing<String>);

/// One key with its secret.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    created_at: i64,
    retires_at: Option<i64>,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// What a ring knows of a key id.
pub(super) enum Found<'a> {
    Usable(&'a Key),
    Retired,
    Unknown,
}

impl Keyring {
    /// A ring with one fresh key.
    ///
    /// # Errors
    /// [`KeyringError::NoRandom`] when the system gives no random bits.
    pub fn generate() -> Result<Self, KeyringError> {
        Ok(Self { keys: [Key::generate(now())?].into() })
    }

    /// A ring with a fresh key that seals from now on. The keys of this ring go on opening for `overlap`.
    ///
    /// Retired keys open nothing and stay in the ring, in case it was the clock that jumped: one is dropped when it has
    /// been retired for another `overlap`, and a rotation after it retired has left it in.
    ///
    /// # Errors
    /// [`KeyringError::NoRandom`] when the system gives no random bits.
    pub fn rotate(&self, overlap: Duration) -> Result<Self, KeyringError> {
        let now = now();
        let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        let retires = now.saturating_add(overlap);
        // One reading of the clock is no witness that a key is over: a key that was made since is another.
        let made_since = |at| self.keys.iter().any(|key| key.created_at > at);
        let over =
            |key: &&Key| key.retires_at.is_some_and(|at| at.saturating_add(overlap) <= now && made_since(at));
        let kept = self.keys.iter().filter(|key| !over(key)).cloned();
        let mut keys: Vec<Key> = kept
            .map(|key| Key { retires_at: Some(key.retires_at.map_or(retires, |at| at.min(retires))), ..key })
            .collect();
        // The newest seals, also when the clock was set back.
        let newest = keys.iter().map(|key| key.created_at).max().unwrap_or(i64::MIN);
        keys.push(Key::generate(now.max(newest.saturating_add(1)))?);
        Ok(Self { keys: keys.into() })
    }

    /// Reads the text that [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    /// [`KeyringError`], which names the line and never quotes it.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut lines = text.lines().map(str::trim).enumerate();
        let mut lines = lines.by_ref().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let title = lines.next().and_then(|(_, line)| line.strip_prefix(TITLE)).map(str::trim);
        match title.and_then(|format| format.parse::<u32>().ok()) {
            Some(FORMAT) => {}
            Some(format) if format > FORMAT => return Err(KeyringError::NewerFormat { format }),
            _ => return Err(KeyringError::NotAKeyring),
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in lines {
            let line_number = index + 1;
            let key = Key::parse(line).ok_or(KeyringError::BadLine { line: line_number })?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyringError::RepeatedId { line: line_number });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(Self { keys: keys.into() })
    }

    /// The whole ring as text, **with the secrets**: for the one file that keeps it. A title, then one key a line:
    /// id, when made, when it retires (`-`: not yet), secret in base64.
    #[must_use]
    pub fn to_text(&self) -> KeyringText {
        // Room for all from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(256 + 160 * self.keys.len()));
        text.push_str(
            "# The keys of a Haversack installation. Whoever reads this file reads every sealed job.\n",
        );
        text.push_str("# id, made (ms since the epoch), retires (ms, or -), secret (base64)\n");
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{TITLE} {FORMAT}");
        for Key { id, created_at, retires_at, secret } in &*self.keys {
            let _ = match retires_at {
                Some(retires) => write!(text, "{id} {created_at} {retires} "),
                None => write!(text, "{id} {created_at} - "),
            };
            STANDARD.encode_string(secret.as_slice(), &mut text);
            text.push('\n');
        }
        KeyringText(text)
    }

    /// What may be told of the keys, in the order in which they were added.
    pub fn keys(&self) -> impl Iterator<Item = KeyInfo> {
        let newest = self.newest().map(|key| &*key.id);
        self.keys.iter().map(move |key| KeyInfo {
            id: key.id.clone(),
            created_at: key.created_at,
            retires_at: key.retires_at,
            seals: newest == Some(&*key.id),
        })
    }

    /// Whether a key of that id is in the ring, retired or not.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The key that seals.
    pub(super) fn newest(&self) -> Option<&Key> {
        let now = now();
        self.keys.iter().filter(|key| !key.retired(now)).max_by_key(|key| key.created_at)
    }

    pub(super) fn find(&self, id: &str) -> Found<'_> {
        match self.keys.iter().find(|key| key.id == id) {
            Some(key) if key.retired(now()) => Found::Retired,
            Some(key) => Found::Usable(key),
            None => Found::Unknown,
        }
    }
}

/// Ids and times; never a secret.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.keys().collect::<Vec<_>>()).finish()
    }
}

impl Deref for KeyringText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyringText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyringText(..)")
    }
}

impl Key {
    fn generate(created_at: i64) -> Result<Self, KeyringError> {
        let id = random_hex::<4>().ok_or(KeyringError::NoRandom)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret).map_err(|_| KeyringError::NoRandom)?;
        Ok(Self { id: format!("k_{id}"), created_at, retires_at: None, secret })
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (id, created, retires, secret) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !is_key_id(id) {
            return None;
        }
        let retires_at = match retires {
            "-" => None,
            at => Some(at.parse().ok()?),
        };
        // The decoder asks for room in steps of three.
        let mut decoded = Zeroizing::new([0; SECRET_BYTES + 4]);
        let bytes = STANDARD.decode_slice(secret, &mut *decoded).ok()?;
        let secret = decoded[..bytes].try_into().ok().map(Zeroizing::new)?;
        Some(Self { id: id.to_owned(), created_at: created.parse().ok()?, retires_at, secret })
    }

    pub(super) fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }

    fn retired(&self, now: i64) -> bool {
        self.retires_at.is_some_and(|at| at <= now)
    }
}

/// Whether a text from outside may be taken for the id of a key, and shown.
pub(super) fn is_key_id(text: &str) -> bool {
    let fits = (1..=LONGEST_ID).contains(&text.len());
    fits && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}
