//! Snapshots: a context that leaves the process, sealed, and begins again somewhere else.
//!
//! A [`Manifest`] is the list of what may leave. [`Manifest::capture`] makes a [`Snapshot`] of the current context;
//! [`Snapshot::seal`] encrypts it together with a payload for one receiver; [`Snapshot::open`] reads that back and
//! [`Snapshot::restore`] enters a boundary with it. There is no unsealed form: a snapshot has no `Serialize`.

mod codec;
mod error;
mod keyring;
mod manifest;
mod restore;
mod seal;
mod wire;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use codec::Codec;
pub use error::{CaptureError, KeyringError, OpenError, RestoreError, SealError};
pub use keyring::{KeyInfo, Keyring, KeyringText};
#[doc(hidden)]
pub use manifest::Listed;
pub use manifest::Manifest;
pub use seal::SealedFor;
pub(crate) use wire::Carried;
use wire::Wire;

/// The most that the variables of one snapshot may take, in bytes: their names and their encoded values.
pub const MAX_SNAPSHOT_BYTES: usize = 64 * 1024;

/// A context on its way into another process: which variables, with which values, from where and until when.
///
/// ```
/// use haversack::well_known::{TENANT_ID, TenantId};
/// use haversack::{Boundary, Keyring, Manifest, SealedFor, Snapshot, manifest};
///
/// static OUT: Manifest = manifest![TENANT_ID];
/// static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);
/// static WORKER: Boundary = Boundary::new("worker").requires(&[&TENANT_ID]);
///
/// let keys = Keyring::generate().unwrap();
/// let job = SealedFor { tenant: "acme", queue: "mail", id: "job-1" };
///
/// // In the process that submits.
/// let visit = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap())).unwrap();
/// let sealed = visit.run(|| OUT.capture().unwrap().seal(b"arguments", &keys, &job).unwrap());
///
/// // In the process that works.
/// let (snapshot, payload) = Snapshot::open(&sealed, &keys, &job).unwrap();
/// let visit = snapshot.restore(&OUT, &WORKER, |bindings| bindings).unwrap();
/// visit.run(|| assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme"));
/// assert_eq!(payload, b"arguments");
/// ```
#[derive(Clone)]
pub struct Snapshot {
    wire: Wire,
}

impl Snapshot {
    /// Its own identity: 128 random bits in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.wire.id
    }

    /// When it was captured, in milliseconds since the epoch, by the clock of the machine that captured it.
    #[must_use]
    pub fn created_at(&self) -> i64 {
        self.wire.created
    }

    /// When it stops being restorable, in milliseconds since the epoch. `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.wire.expires
    }

    /// The boundary that the captured context had come through.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.wire.origin
    }

    /// The number of the entry that it was captured under: it tells two arrivals at one process apart, and says
    /// nothing in another.
    #[must_use]
    pub fn entry(&self) -> u64 {
        self.wire.entry
    }

    /// The names of the variables that it carries.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.wire.variables.iter().map(|variable| &*variable.name)
    }

    /// The names of the variables that were bound at the capture and did not travel. Reading one of them in the
    /// restored context is an error that says so.
    pub fn left_behind(&self) -> impl Iterator<Item = &str> {
        self.wire.left_behind.iter().map(|name| &**name)
    }

    /// This snapshot, restorable for so long after its capture. A span too long for the clock counts as for ever.
    #[must_use]
    pub fn expires_in(mut self, span: Duration) -> Self {
        let span = i64::try_from(span.as_millis()).ok();
        self.wire.expires = span.and_then(|span| self.wire.created.checked_add(span));
        self
    }
}

/// Names, versions and sizes; never a value.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wire { format: _, id, created, expires, origin, entry, variables, left_behind } = &self.wire;
        f.debug_struct("Snapshot")
            .field("id", id)
            .field("created_at", created)
            .field("expires_at", expires)
            .field("origin", origin)
            .field("entry", entry)
            .field("variables", variables)
            .field("left_behind", left_behind)
            .finish()
    }
}

/// Milliseconds since the epoch by this machine's clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Random bytes in hexadecimal, or `None` when the system gives none.
fn random_hex<const BYTES: usize>() -> Option<String> {
    use fmt::Write;
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).ok()?;
    let mut text = String::with_capacity(2 * BYTES);
    // Writing to a `String` does not fail.
    bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(text)
}
