//! Signatures of webhooks, as Standard Webhooks describes them: `v1,` and the base64 of an HMAC-SHA256.
//!
//! What is signed is `id.time.body`, so a signature is good for one message at one time. Receiving accepts any of several
//! secrets, so that one can be replaced; sending signs with the first. Both directions and tests call these functions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::SigningSecret;
use crate::GatewayError;

/// The header with the id of the message.
pub const ID: &str = "webhook-id";
/// The header with the time of signing, in seconds since the Unix epoch.
pub const TIME: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// Bytes of an HMAC-SHA256.
const TAG: usize = 32;

/// Signs a message.
#[must_use]
pub fn sign(secret: &SigningSecret, id: &str, time: i64, body: &[u8]) -> String {
    let tag = mac(secret, id, time, body).finalize().into_bytes();
    format!("v1,{}", STANDARD.encode(tag))
}

/// Checks the signatures of a message against all secrets, and its time against the window.
///
/// # Errors
/// [`GatewayError::BadSignature`] when no signature fits any secret; [`GatewayError::Stale`] when one does and the time is
/// more than `window` seconds from `now`, in either direction.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    time: i64,
    body: &[u8],
    signatures: &str,
    window: u32,
    now: i64,
) -> Result<(), GatewayError> {
    // The body is read once a secret, however many signatures there are.
    let right: Vec<_> = secrets.iter().map(|secret| mac(secret, id, time, body)).collect();
    // `verify_slice` compares in constant time.
    let fits = tags(signatures).any(|tag| right.iter().any(|mac| mac.clone().verify_slice(&tag).is_ok()));
    if !fits {
        return Err(GatewayError::BadSignature);
    }
    in_time(time, window, now)
}

/// Returns true if a header has the form of at least one signature.
#[must_use]
pub fn has_form(signatures: &str) -> bool {
    tags(signatures).next().is_some()
}

/// Checks the time of signing alone.
///
/// # Errors
/// [`GatewayError::Stale`] when it is more than `window` seconds from `now`, in either direction.
pub fn in_time(time: i64, window: u32, now: i64) -> Result<(), GatewayError> {
    if now.abs_diff(time) > u64::from(window) { Err(GatewayError::Stale) } else { Ok(()) }
}

/// The tags of those signatures that can be one.
fn tags(signatures: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let tag = |signature: &str| STANDARD.decode(signature.strip_prefix("v1,")?).ok();
    signatures.split(' ').filter_map(tag).filter(|tag| tag.len() == TAG)
}

fn mac(secret: &SigningSecret, id: &str, time: i64, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length: the error cannot occur, and an empty key would be found by the configuration.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(time.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}
