//! Carriers: what holds headers. A header map, or any map of text.
//!
//! Names are compared as HTTP compares them, without case, also in a plain map. Values arrive as bytes, because a
//! client may send any; they leave as visible ASCII. Only the propagator calls these.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Headers that a request brought.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which headers it holds, so nothing can be read from it",
    label = "not an `Extract`",
    note = "an `http::HeaderMap` does, and any map of text to text; implement `Extract` for a carrier of your own"
)]
pub trait Extract {
    /// Every value under this name, in order. `name` is in lower case.
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]>;
}

/// Headers that a request will leave with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no headers, so nothing can leave in it",
    label = "not an `Inject`",
    note = "an `http::HeaderMap` does, and any map of text to text; implement `Inject` for a carrier of your own"
)]
pub trait Inject {
    /// Sets the one value of this name, in the place of every other. `name` is in lower case, `value` visible ASCII
    /// and spaces.
    fn put(&mut self, name: &'static str, value: &str);

    /// Removes every value of this name.
    fn remove(&mut self, name: &'static str);
}

impl Extract for http::HeaderMap {
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
    }
}

impl Inject for http::HeaderMap {
    fn put(&mut self, name: &'static str, value: &str) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name.as_bytes()), value.parse()) {
            self.insert(name, value);
        }
    }

    fn remove(&mut self, name: &'static str) {
        http::HeaderMap::remove(self, name);
    }
}

macro_rules! map {
    ($map:ty $(, $hasher:ident)?) => {
        impl $(<$hasher: BuildHasher>)? Extract for $map {
            fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
                let named = self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                named.map(|(_, value)| value.as_bytes()).collect()
            }
        }

        impl $(<$hasher: BuildHasher>)? Inject for $map {
            fn put(&mut self, name: &'static str, value: &str) {
                Inject::remove(self, name);
                self.insert(name.to_owned(), value.to_owned());
            }

            fn remove(&mut self, name: &'static str) {
                self.retain(|key, _| !key.eq_ignore_ascii_case(name));
            }
        }
    };
}

map!(BTreeMap<String, String>);
map!(HashMap<String, String, S>, S);

/// Pairs, as message brokers and clients keep them: a name may stand there twice.
impl Extract for Vec<(String, Vec<u8>)> {
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        let named = self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }
}

/// As above.
impl Inject for Vec<(String, Vec<u8>)> {
    fn put(&mut self, name: &'static str, value: &str) {
        Inject::remove(self, name);
        self.push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn remove(&mut self, name: &'static str) {
        self.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}
