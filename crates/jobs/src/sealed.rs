//! Sealing what a job says: its result, the words of its failure, the note of its progress.
//!
//! They are sealed as snapshots are, bound to the tenant, to what they are and to the job, together with the identity
//! of the context that they were said in. The worker seals inside the job's context; the client opens for the owner.

use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{Manifest, SealedFor, manifest};
use haversack_store::{KeyFile, KeyUseError};

use crate::{JobError, JobId};

/// Whose words they are; nothing else of the job's context is kept with them.
static SAID_BY: Manifest = manifest![TENANT_ID, PRINCIPAL];

/// What is sealed; a part of what it is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Result,
    Failure,
    Note,
}

impl Said {
    /// No queue has such a name.
    const fn place(self) -> &'static str {
        match self {
            Self::Result => "said:result",
            Self::Failure => "said:failure",
            Self::Note => "said:note",
        }
    }
}

/// Seals `bytes` in the current context, which is the job's.
pub(crate) fn seal(what: Said, id: &JobId, bytes: &[u8], keys: &KeyFile) -> Result<Vec<u8>, JobError> {
    let snapshot = SAID_BY.capture()?;
    let tenant = TENANT_ID.get()?;
    let bound_to = SealedFor { tenant: tenant.as_str(), queue: what.place(), id: id.as_str() };
    Ok(keys.seal(&snapshot, bytes, &bound_to)?)
}

/// Opens what was said in the current context's tenant.
pub(crate) fn open(
    what: Said,
    tenant: &str,
    id: &JobId,
    sealed: &[u8],
    keys: &KeyFile,
) -> Result<Vec<u8>, JobError> {
    let bound_to = SealedFor { tenant, queue: what.place(), id: id.as_str() };
    match keys.unseal(sealed, &bound_to) {
        Ok((_, bytes)) => Ok(bytes),
        Err(KeyUseError::Keys(error)) => Err(error.into()),
        Err(KeyUseError::Envelope(_)) => Err(JobError::Sealed),
    }
}
