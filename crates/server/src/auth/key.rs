//! The API key itself: `hv_<id>_<secret>`. The id is public and finds the row, the secret is 32 random bytes
//! of which only the SHA-256 is stored. A slow hash would add nothing: the secret is random, so there is no
//! dictionary to try.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Fault;

const SECRET_BYTES: usize = 32;

/// Digits of a secret as it is written, hexadecimal.
pub(crate) const SECRET: usize = 2 * SECRET_BYTES;

/// A key that was just made. It is shown once; afterwards only its hash exists.
pub struct NewKey {
    id: String,
    secret: [u8; SECRET_BYTES],
}

/// A key that a caller presented.
pub struct PresentedKey {
    id: String,
    secret: [u8; SECRET_BYTES],
}

impl NewKey {
    /// Makes a key with a random id and a random secret.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, Fault> {
        let mut id = [0; 6];
        getrandom::fill(&mut id).map_err(Fault::internal)?;
        Self::with_id(hex(&id))
    }

    /// Makes a key with a random secret for an id that exists already.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn with_id(id: String) -> Result<Self, Fault> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(Fault::internal)?;
        Ok(Self { id, secret })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is stored.
    pub fn secret_hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }

    /// The whole key, for the one time that it is shown.
    pub fn reveal(&self) -> String {
        format!("hv_{}_{}", self.id, hex(&self.secret))
    }
}

impl PresentedKey {
    /// Reads a key; `None` when it does not have the shape of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("hv_")?.split_once('_')?;
        let id_fits = (4..=32).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        id_fits.then_some(Self { id: id.to_owned(), secret: unhex(secret)? })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the secret is the one whose hash is stored. Without a stored hash the work is the same and the
    /// answer no.
    pub fn matches(&self, stored: Option<&[u8; 32]>) -> bool {
        let presented = hash(&self.secret);
        let against = stored.copied().unwrap_or_default();
        bool::from(presented.ct_eq(&against)) && stored.is_some()
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * SECRET_BYTES {
        return None;
    }
    let mut bytes = [0; SECRET_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{NewKey, PresentedKey};

    #[test]
    fn only_the_secret_that_was_issued_matches() {
        let new = NewKey::generate().unwrap();
        let other = NewKey::with_id(new.id().to_owned()).unwrap();
        let presented = PresentedKey::parse(&new.reveal()).unwrap();
        assert_eq!(presented.id(), new.id());
        assert!(presented.matches(Some(&new.secret_hash())));
        assert!(!presented.matches(Some(&other.secret_hash())));
        assert!(!presented.matches(None));
    }

    #[test]
    fn an_all_zero_hash_is_no_way_in() {
        let presented = PresentedKey::parse(&NewKey::generate().unwrap().reveal()).unwrap();
        assert!(!presented.matches(Some(&[0; 32])));
    }

    #[test]
    fn what_is_not_a_key_does_not_parse() {
        let key = NewKey::generate().unwrap().reveal();
        let (head, secret) = key.rsplit_once('_').unwrap();
        for bad in [
            "",
            "hv_",
            "hv__",
            head,
            &format!("{head}_"),
            &format!("{head}_{}", &secret[1..]),
            &format!("{head}_{secret}0"),
            &format!("{head}_{}", secret.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
            &format!("HV_{}", &key[3..]),
            &format!("hv_../x_{secret}"),
            &format!("hv_ü{}_{secret}", "a".repeat(8)),
            &format!("{head}_{}ü", &secret[2..]),
        ] {
            assert!(PresentedKey::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let new = NewKey::generate().unwrap();
        let whole = new.reveal();
        let secret = whole.rsplit_once('_').unwrap().1;
        assert!(!format!("{new:?}{:?}", PresentedKey::parse(&whole).unwrap()).contains(secret));
    }
}
