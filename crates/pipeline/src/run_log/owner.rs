//! Whose runs: the tenant and the principal of the context, and the keys that seal what their rows say.
//!
//! [`OwnRows`] is made where a call comes in and hands an [`Owner`] to each statement, so that the tenant and the principal
//! in a `WHERE` come from nowhere else. What a run was given and what happened in it is sealed as jobs seal what they say:
//! bound to the tenant, to what it is and to the run, so that no row can be passed off as another.

use std::future::Future;

use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID};
use haversack::{Manifest, SealedFor, Snapshot, manifest};
use haversack_store::sqlite::{Connection, Transaction};
use haversack_store::{ControlRows, KeyFile, KeyUseError, Scope, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::PipelineError;

/// Whose words they are; nothing else of the context is kept with them.
static SAID_BY: Manifest = manifest![TENANT_ID, PRINCIPAL];

/// The rows of one principal, for one entry.
#[derive(Clone, Debug)]
pub(crate) struct OwnRows {
    rows: ControlRows,
    owner: Owner,
}

/// Who asks, and what opens their rows.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    scope: Scope,
    principal: Principal,
    said_by: Snapshot,
    keys: KeyFile,
}

/// Which of the sealed fields; a part of what it is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// What the run was started with.
    Parameters,
    /// The event of this number.
    Event(u64),
}

impl OwnRows {
    /// The rows of the current context's principal.
    #[track_caller]
    pub(crate) fn current(store: &Store, keys: &KeyFile) -> Result<Self, PipelineError> {
        let rows = store.rows()?;
        let principal = PRINCIPAL.get()?;
        let said_by = SAID_BY.capture()?;
        let owner = Owner { scope: rows.scope().clone(), principal, said_by, keys: keys.clone() };
        Ok(Self { rows, owner })
    }

    pub(crate) fn scope(&self) -> &Scope {
        self.rows.scope()
    }

    /// As [`ControlRows::read`].
    #[track_caller]
    pub(crate) fn read<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, PipelineError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Connection, &Owner) -> Result<R, PipelineError> + Send + 'static,
    {
        let owner = self.owner.clone();
        let reading = self.rows.read(what, move |conn, _| Ok(work(conn, &owner)?));
        async move { Ok(reading.await?) }
    }

    /// As [`ControlRows::write`].
    #[track_caller]
    pub(crate) fn write<R, F>(
        &self,
        what: &'static str,
        work: F,
    ) -> impl Future<Output = Result<R, PipelineError>> + Send + 'static + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&Transaction<'_>, &Owner) -> Result<R, PipelineError> + Send + 'static,
    {
        let owner = self.owner.clone();
        let writing = self.rows.write(what, move |tx, _| Ok(work(tx, &owner)?));
        async move { Ok(writing.await?) }
    }

    /// Seals or opens on the pool, while the file is others' to use.
    pub(crate) async fn apart<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Owner) -> Result<R, PipelineError> + Send + 'static,
    ) -> Result<R, PipelineError> {
        let owner = self.owner.clone();
        let worked = haversack::spawn_blocking(move || work(&owner)).await;
        worked.map_err(|_| PipelineError::Internal("the pool is gone"))?
    }
}

impl Owner {
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The tenant, for a statement.
    pub(crate) fn tenant(&self) -> &str {
        self.scope.tenant().as_str()
    }

    /// The principal, for a statement.
    pub(crate) fn principal(&self) -> &str {
        self.principal.as_str()
    }

    /// Seals a value as JSON, for the run of this id.
    pub(crate) fn seal(
        &self,
        what: Said,
        id: &str,
        value: &impl Serialize,
    ) -> Result<Vec<u8>, PipelineError> {
        let json = serde_json::to_vec(value).map_err(|_| PipelineError::Internal("a value is not JSON"))?;
        let place = self.place(what, id);
        Ok(self.keys.seal(&self.said_by, &json, &self.bound_to(what, &place))?)
    }

    /// Opens what was sealed for the run of this id.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        what: Said,
        id: &str,
        sealed: &[u8],
    ) -> Result<T, PipelineError> {
        let place = self.place(what, id);
        let (_, json) = match self.keys.unseal(sealed, &self.bound_to(what, &place)) {
            Ok(opened) => opened,
            Err(KeyUseError::Keys(error)) => return Err(error.into()),
            Err(KeyUseError::Envelope(_)) => return Err(PipelineError::Sealed),
        };
        // The parser's words may quote, and these are somebody's.
        serde_json::from_slice(&json)
            .map_err(|_| PipelineError::Internal("a row of the run log is not readable by this release"))
    }

    /// The id and the number have no other digits and letters than their own, so whatever a principal is called, no two
    /// places are one text.
    fn place(&self, what: Said, id: &str) -> String {
        let number = match what {
            Said::Parameters => 0,
            Said::Event(number) => number,
        };
        format!("{id}.{number}.{}", self.principal)
    }

    fn bound_to<'a>(&'a self, what: Said, place: &'a str) -> SealedFor<'a> {
        // No queue of jobs has such a name.
        let queue = match what {
            Said::Parameters => "run:parameters",
            Said::Event(_) => "run:event",
        };
        SealedFor { tenant: self.tenant(), queue, id: place }
    }
}
