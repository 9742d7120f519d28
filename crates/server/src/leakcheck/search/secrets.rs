//! The secrets of API keys, which nobody but their holders should have. They are random and have no shape but their length
//! and their digits, so all of them are found in one pass over the runs of such digits. Files and logs are searched for them.

use std::collections::HashSet;

use crate::auth::key::SECRET;
use crate::leakcheck::stage::Site;

/// The secret of each key of a site.
pub(super) struct Secrets<'a>(HashSet<&'a [u8]>);

impl<'a> Secrets<'a> {
    pub(super) fn of(site: &'a Site) -> Self {
        let keys = site.keys().iter().flatten();
        Self(keys.filter_map(|key| key.splitn(3, '_').nth(2)).map(str::as_bytes).collect())
    }

    /// Whether any of them stands in bytes as it is.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        let mut at = 0;
        // A secret that begins at or behind `at` covers the digit at its end, so most bytes need not be read.
        while let Some(digit) = bytes.get(at + SECRET - 1) {
            if !digit.is_ascii_hexdigit() {
                at += SECRET;
                continue;
            }
            let window = &bytes[at..at + SECRET];
            match window.iter().rposition(|byte| !byte.is_ascii_hexdigit()) {
                Some(other) => at += other + 1,
                None if self.0.contains(window) => return true,
                None => at += 1,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands() {
        let secret = "0123456789abcdef".repeat(4);
        let secrets = Secrets(HashSet::from([secret.as_bytes()]));
        for before in 0..150 {
            for (fill, after) in [("x", ""), ("a", "b"), ("-7", "z"), ("zzz4", "\0\0")] {
                let mut text = fill.repeat(before);
                text.push_str(&secret);
                text.push_str(&after.repeat(70));
                assert!(secrets.are_in(text.as_bytes()), "{text}");
                let cut = text.replace(&secret, &secret[1..]);
                assert!(!secrets.are_in(cut.as_bytes()), "{cut}");
            }
        }
        assert!(!secrets.are_in(b"") && !secrets.are_in(&secret.as_bytes()[1..]));
    }
}
