//! The worker's door: where the context of a job begins again, from what was sealed when it was submitted.
//!
//! Each attempt of each job enters it anew. Only the attempt, in the room beside this, goes through it.

use haversack::Boundary;
use haversack::well_known::{PRINCIPAL, TENANT_ID};

/// A job on its way back into its submitter's context.
pub(super) static WORKER: Boundary = Boundary::new("worker").requires(&[&TENANT_ID, &PRINCIPAL]);
