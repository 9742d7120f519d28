//! Checks of the lists that macros make, at the time they are compiled: manifests, and the lists of propagators.
//!
//! Traits cannot be called there, and lists hold different types, so the loops over them are macros that name a field. A
//! check that fails stops the build with its sentence.

/// Calls a `const fn` with one field of each entry.
#[cfg(feature = "propagator")]
macro_rules! each {
    ($list:expr, $field:ident, $check:path) => {{
        let mut at = 0;
        while at < $list.len() {
            $check($list[at].$field);
            at += 1;
        }
    }};
}

/// Stops the build with `$why` when two entries have the same text in a field.
macro_rules! distinct {
    ($list:expr, $field:ident, $why:literal) => {{
        let mut first = 0;
        while first < $list.len() {
            let mut second = first + 1;
            while second < $list.len() {
                assert!(!$crate::listing::same($list[first].$field, $list[second].$field), $why);
                second += 1;
            }
            first += 1;
        }
    }};
}

#[cfg(feature = "propagator")]
pub(crate) use each;

pub(crate) use distinct;

/// `a == b`, which cannot be called yet where lists are checked.
pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
