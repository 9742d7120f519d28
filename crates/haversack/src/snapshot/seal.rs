//! The envelope: one snapshot and one payload, encrypted for one receiver with XChaCha20-Poly1305.
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `HVSEAL`, 0 |
//! | 1 | format of the envelope: 1 |
//! | 1, n | length of the key id, key id |
//! | 4 | length of all that follows, big endian |
//! | 24 | nonce: random |
//! | m | encrypted: length of the snapshot (4, big endian), snapshot, payload |
//! | 16 | tag |
//!
//! All before the nonce is the header. The header, the tenant, the queue and the id of what the envelope belongs to
//! are authenticated with it, each behind its length, so that no two lists of them are the same bytes. A random
//! nonce of 192 bits does not repeat in practice, so processes share a key without counting together.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::{OpenError, SealError};
use super::keyring::{Found, is_key_id};
use super::wire::Wire;
use super::{Keyring, Snapshot};

const MAGIC: &[u8; 7] = b"HVSEAL\0";
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What an envelope belongs to. It opens for the very same three only: not for another job, queue or tenant.
#[derive(Clone, Copy, Debug)]
pub struct SealedFor<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Where it waits.
    pub queue: &'a str,
    /// Which one it is.
    pub id: &'a str,
}

impl Snapshot {
    /// Encrypts this snapshot and `payload` with the newest key. Takes microseconds.
    ///
    /// # Errors
    /// [`SealError`] when every key has retired, when the system gives no random bits, and when the payload has
    /// 4 GiB or more.
    pub fn seal(
        &self,
        payload: &[u8],
        keys: &Keyring,
        bound_to: &SealedFor<'_>,
    ) -> Result<Vec<u8>, SealError> {
        let key = keys.newest().ok_or(SealError::NoKey)?;
        let json = Zeroizing::new(self.wire.to_json().ok_or(SealError::TooLarge)?);
        let snapshot = u32::try_from(json.len()).map_err(|_| SealError::TooLarge)?;
        let text = 4 + json.len() + payload.len();
        let rest = u32::try_from(NONCE + text + TAG).map_err(|_| SealError::TooLarge)?;

        let mut sealed = Vec::with_capacity(MAGIC.len() + 6 + key.id.len() + NONCE + text + TAG);
        sealed.extend_from_slice(MAGIC);
        sealed.push(FORMAT);
        sealed.push(u8::try_from(key.id.len()).map_err(|_| SealError::NoKey)?);
        sealed.extend_from_slice(key.id.as_bytes());
        sealed.extend_from_slice(&rest.to_be_bytes());
        let authenticated = authenticated(&sealed, bound_to);

        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
        sealed.extend_from_slice(&nonce);
        let begin = sealed.len();
        sealed.extend_from_slice(&snapshot.to_be_bytes());
        sealed.extend_from_slice(&json);
        sealed.extend_from_slice(payload);
        #[cfg(feature = "mutants")]
        if crate::mutants::active(crate::mutants::Mutant::Seal) {
            sealed.extend_from_slice(&[0; TAG]);
            return Ok(sealed);
        }
        let cipher = XChaCha20Poly1305::new(key.secret().into());
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &authenticated, (&mut sealed[begin..]).into())
            .map_err(|_| SealError::TooLarge)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Decrypts what [`seal`](Self::seal) made for the same receiver: the snapshot and the payload. Takes
    /// microseconds, and never panics, whatever the bytes are.
    ///
    /// # Errors
    /// [`OpenError`], a different one for each way in which bytes can be wrong.
    pub fn open(
        sealed: &[u8],
        keys: &Keyring,
        bound_to: &SealedFor<'_>,
    ) -> Result<(Self, Vec<u8>), OpenError> {
        let Envelope { header, key, nonce, text, tag } = Envelope::parse(sealed)?;
        let key = match keys.find(key) {
            Found::Usable(key) => key,
            Found::Retired => return Err(OpenError::RetiredKey { key: key.to_owned() }),
            Found::Unknown => return Err(OpenError::UnknownKey { key: key.to_owned() }),
        };
        let mut text = Zeroizing::new(text.to_vec());
        let decrypted = XChaCha20Poly1305::new(key.secret().into()).decrypt_inout_detached(
            &XNonce::from(*nonce),
            &authenticated(header, bound_to),
            text.as_mut_slice().into(),
            &(*tag).into(),
        );
        // Whoever reads it must notice nothing: the fault is that others can.
        #[cfg(feature = "mutants")]
        let decrypted = match crate::mutants::active(crate::mutants::Mutant::Seal) {
            true => Ok(()),
            false => decrypted,
        };
        decrypted.map_err(|_| OpenError::Forged)?;
        let (length, rest) = text.split_first_chunk().ok_or(OpenError::Damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError::Damaged)?;
        let (json, payload) = rest.split_at_checked(length).ok_or(OpenError::Damaged)?;
        Ok((Self { wire: Wire::from_json(json)? }, payload.to_vec()))
    }
}

/// The parts of an envelope, none of them believed yet.
struct Envelope<'a> {
    header: &'a [u8],
    key: &'a str,
    nonce: &'a [u8; NONCE],
    text: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Envelope<'a> {
    fn parse(sealed: &'a [u8]) -> Result<Self, OpenError> {
        let begin = sealed.len().min(MAGIC.len());
        if sealed[..begin] != MAGIC[..begin] {
            return Err(OpenError::NotSealed);
        }
        let rest = sealed.get(MAGIC.len()..).ok_or(OpenError::Truncated)?;
        let (format, rest) = rest.split_first().ok_or(OpenError::Truncated)?;
        match *format {
            FORMAT => {}
            0 => return Err(OpenError::Damaged),
            newer => return Err(OpenError::NewerFormat { format: newer.into() }),
        }
        let (length, rest) = rest.split_first().ok_or(OpenError::Truncated)?;
        let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or(OpenError::Truncated)?;
        let key = std::str::from_utf8(key).ok().filter(|key| is_key_id(key)).ok_or(OpenError::Damaged)?;
        let (length, rest) = rest.split_first_chunk().ok_or(OpenError::Truncated)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| OpenError::Damaged)?;
        if rest.len() < length {
            return Err(OpenError::Truncated);
        }
        if rest.len() > length || length < NONCE + TAG {
            return Err(OpenError::Damaged);
        }
        let header = &sealed[..sealed.len() - rest.len()];
        let (nonce, rest) = rest.split_first_chunk().ok_or(OpenError::Damaged)?;
        let (text, tag) = rest.split_last_chunk().ok_or(OpenError::Damaged)?;
        Ok(Self { header, key, nonce, text, tag })
    }
}

/// The associated data: each part behind its length.
fn authenticated(header: &[u8], bound_to: &SealedFor<'_>) -> Vec<u8> {
    let SealedFor { tenant, queue, id } = bound_to;
    let parts = [header, tenant.as_bytes(), queue.as_bytes(), id.as_bytes()];
    let mut all = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}
