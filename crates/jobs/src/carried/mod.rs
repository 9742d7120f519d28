//! Facts about the submitting request that a job carries: some of its headers, and its access token.
//!
//! Both are context variables that travel sealed, like everything in a snapshot, when the program's manifest lists
//! them. The door that received the request binds them; handlers read them, and no request is ever imitated.

mod access_token;
mod headers;

pub use access_token::{ACCESS_TOKEN, AccessToken, NoToken};
pub use headers::{HEADERS, Headers};
