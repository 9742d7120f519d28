//! Random bits from the operating system, for ids and for the spread of waits.
//!
//! It is two functions over one source. Only this crate calls it.

use crate::JobError;

/// `N` bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], JobError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| JobError::NoRandomness)?;
    Ok(bytes)
}

/// A number that spreads a wait. Without randomness it is a middle one: a wait that is not spread is no failure.
pub(crate) fn spread() -> u32 {
    bytes().map_or(u32::MAX / 2, u32::from_le_bytes)
}
