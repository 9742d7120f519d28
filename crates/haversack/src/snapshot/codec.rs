//! How a value of a portable variable becomes data and comes back.
//!
//! The codec is chosen where the variable is declared, as two functions for its type, so that a manifest can hold
//! variables of every type. Errors carry no text of their own: what a codec says may quote the value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::ContextVar;
use crate::cell::Fresh;
use crate::origin::Mark;

/// The JSON of one type.
#[derive(Debug)]
pub(crate) struct Codec<T> {
    encode: fn(&T) -> Option<Box<RawValue>>,
    decode: fn(&RawValue) -> Option<T>,
}

impl<T> Codec<T> {
    pub(crate) const fn json() -> Self
    where
        T: Serialize + DeserializeOwned,
    {
        Self {
            encode: |value| to_raw_value(value).ok(),
            decode: |data| serde_json::from_str(data.get()).ok(),
        }
    }
}

/// A value refused its own encoding.
pub(crate) struct Unencodable;

/// A variable whose values travel, whatever its type.
pub(crate) trait Portable: Sync {
    /// The data of the value bound in the current frame; `None` where it is unbound.
    fn encode(&'static self) -> Option<Result<Box<RawValue>, Unencodable>>;

    /// A binding of the value that `data` stands for; `None` where it stands for none.
    fn decode(&'static self, data: &RawValue, mark: Mark) -> Option<Fresh>;
}

impl<T: Send + Sync + 'static, B> Portable for ContextVar<T, B> {
    fn encode(&'static self) -> Option<Result<Box<RawValue>, Unencodable>> {
        let codec = self.codec()?;
        self.peek(|value| (codec.encode)(value).ok_or(Unencodable))
    }

    fn decode(&'static self, data: &RawValue, mark: Mark) -> Option<Fresh> {
        let value = (self.codec()?.decode)(data)?;
        Some(self.fresh(value, mark))
    }
}
