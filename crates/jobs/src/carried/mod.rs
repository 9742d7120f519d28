//! Facts about the submitting request that a job carries: some of its headers, the credential that it was made with, and an
//! access token.
//!
//! They are context variables that travel sealed, like everything in a snapshot, when the program's manifest lists
//! them. The door that received the request binds them; handlers read them, and no request is ever imitated.

mod access_token;
mod credential;
mod headers;

pub use access_token::{ACCESS_TOKEN, AccessToken, NoToken};
pub use credential::{CREDENTIAL, Credential};
pub use headers::{HEADERS, Headers};
