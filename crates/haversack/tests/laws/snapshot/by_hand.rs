//! The envelope without any code of the library, by what its documentation says: for tests of the format, and for
//! envelopes that the library does not write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use haversack::SealedFor;

/// What is encrypted, with the last key of the text of a ring.
pub(super) fn open(ring: &str, sealed: &[u8], bound_to: &SealedFor<'_>) -> (String, Vec<u8>) {
    let (id, cipher) = last_key(ring);
    let (header, rest) = sealed.split_at(9 + id.len() + 4);
    assert_eq!(header, self::header(id, rest.len()));
    let (nonce, encrypted) = rest.split_at(24);
    let nonce: &XNonce = nonce.try_into().unwrap();
    let aad = authenticated(header, bound_to);
    let text = cipher.decrypt(nonce, Payload { msg: encrypted, aad: &aad }).unwrap();
    let (length, rest) = text.split_first_chunk().unwrap();
    let (snapshot, payload) = rest.split_at(u32::from_be_bytes(*length).try_into().unwrap());
    (String::from_utf8(snapshot.to_vec()).unwrap(), payload.to_vec())
}

/// An envelope around any text.
pub(super) fn seal(ring: &str, text: &[u8], bound_to: &SealedFor<'_>) -> Vec<u8> {
    let (id, cipher) = last_key(ring);
    let nonce = [7; 24];
    let header = header(id, nonce.len() + text.len() + 16);
    let aad = authenticated(&header, bound_to);
    let encrypted = cipher.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).unwrap();
    [header, nonce.to_vec(), encrypted].concat()
}

fn last_key(ring: &str) -> (&str, XChaCha20Poly1305) {
    let words: Vec<&str> = ring.lines().last().unwrap().split(' ').collect();
    let secret = STANDARD.decode(words[3]).unwrap();
    (words[0], XChaCha20Poly1305::new_from_slice(&secret).unwrap())
}

fn header(id: &str, rest: usize) -> Vec<u8> {
    let mut header = b"HVSEAL\0\x01".to_vec();
    header.push(u8::try_from(id.len()).unwrap());
    header.extend(id.as_bytes());
    header.extend(u32::try_from(rest).unwrap().to_be_bytes());
    header
}

fn authenticated(header: &[u8], bound_to: &SealedFor<'_>) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [header, bound_to.tenant.as_bytes(), bound_to.queue.as_bytes(), bound_to.id.as_bytes()] {
        aad.extend(u64::try_from(part.len()).unwrap().to_be_bytes());
        aad.extend(part);
    }
    aad
}
