//! Restoring: a snapshot begins again, at a boundary, in an otherwise empty context.
//!
//! What the reader's manifest lists is decoded and bound. What it does not list is kept aside: an optional variable
//! is passed on with the next snapshot, a required one refuses the restore. Nothing that the restoring thread has
//! bound is seen by the restored work.

use std::panic::Location;
use std::sync::Arc;

use super::manifest::Listed;
use super::wire::Carried;
use super::{Manifest, RestoreError, Snapshot, now};
use crate::aside::{Aside, Lost};
use crate::cell::Fresh;
use crate::error::Reason;
use crate::origin::Mark;
use crate::{Bindings, Boundary, Visit};

impl Snapshot {
    /// Enters `boundary` with what this snapshot carries and `manifest` lists, then with what `bind` adds. It starts
    /// from the empty context, as every arrival does, whatever the restoring thread has bound.
    ///
    /// Reading a variable that was left behind, or that could not be decoded, is an error whose
    /// [`Reason`] says so.
    ///
    /// # Errors
    /// [`RestoreError`], which also says whether a newer program could restore it
    /// ([`parks`](RestoreError::parks)). Nothing ran yet.
    #[track_caller]
    pub fn restore(
        &self,
        manifest: &'static Manifest,
        boundary: &'static Boundary,
        bind: impl FnOnce(Bindings) -> Bindings,
    ) -> Result<Visit, RestoreError> {
        let at = Location::caller();
        let Unpacked { fresh, aside } = self.unpack(manifest, Mark::new(at, Some(boundary)))?;
        let visit = boundary.enter_at(at, Some(Arc::new(aside)), |bindings| {
            #[cfg(feature = "mutants")]
            let bindings = left_over::keep(bindings);
            bind(fresh.into_iter().fold(bindings, Bindings::put))
        });
        let visit = visit.map_err(RestoreError::Refused)?;
        #[cfg(feature = "mutants")]
        left_over::leave(&visit);
        Ok(visit)
    }

    fn unpack(&self, manifest: &'static Manifest, mark: Mark) -> Result<Unpacked, RestoreError> {
        if let Some(expired_at) = self.wire.expires.filter(|moment| *moment <= now()) {
            return Err(RestoreError::Expired { expired_at });
        }
        let mut unpacked = Unpacked::default();
        for carried in &self.wire.variables {
            match manifest.listed().find(|listed| listed.name == carried.name) {
                Some(listed) => unpacked.known(listed, carried, mark)?,
                None if carried.required => {
                    return Err(RestoreError::UnknownRequired { variable: carried.name.clone() });
                }
                None => unpacked.pass_on(carried, Reason::NotInManifest),
            }
        }
        let carries =
            |listed: &&Listed| self.wire.variables.iter().any(|carried| carried.name == listed.name);
        if let Some(missing) = manifest.listed().filter(|listed| listed.required).find(|one| !carries(one)) {
            return Err(RestoreError::Missing { variable: missing.name });
        }
        for name in &self.wire.left_behind {
            unpacked.aside.lost.push(Lost::new(name.clone(), Reason::LeftBehind));
        }
        Ok(unpacked)
    }
}

/// What a snapshot becomes.
#[derive(Default)]
struct Unpacked {
    fresh: Vec<Fresh>,
    aside: Aside,
}

impl Unpacked {
    /// A variable that the manifest lists. It is required when either side says so.
    fn known(&mut self, listed: &Listed, carried: &Carried, mark: Mark) -> Result<(), RestoreError> {
        let Listed { variable, name, version: known, required } = *listed;
        let (written, required) = (carried.version, required || carried.required);
        if written > known {
            if required {
                return Err(RestoreError::NewerVersion { variable: name, written, known });
            }
            self.pass_on(carried, Reason::NewerVersion { written, known });
            return Ok(());
        }
        #[cfg(feature = "testing")]
        if mark.boundary.is_some_and(|boundary| crate::testing::removed(boundary, name)) {
            return Ok(());
        }
        match variable.decode(&carried.data, mark) {
            Some(fresh) => self.fresh.push(fresh),
            None if required => return Err(RestoreError::Undecodable { variable: name, written }),
            None => self.aside.lost.push(Lost::new(name, Reason::Undecodable { written })),
        }
        Ok(())
    }

    /// Keeps a variable for the next snapshot, as it came.
    fn pass_on(&mut self, carried: &Carried, reason: Reason) {
        self.aside.lost.push(Lost::new(carried.name.clone(), reason));
        self.aside.passing.push(carried.clone());
    }
}

/// The planted fault: a worker that does not take out what it put in. The new context has also what the restoring
/// thread and the restore before it had bound.
#[cfg(feature = "mutants")]
mod left_over {
    use std::sync::{Mutex, PoisonError};

    use crate::mutants::{Mutant, active};
    use crate::{Bindings, Context, Visit};

    static LAST: Mutex<Option<Context>> = Mutex::new(None);

    pub(super) fn keep(bindings: Bindings) -> Bindings {
        if !active(Mutant::SnapshotRestore) {
            return bindings;
        }
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bindings = last.unwrap_or_else(Context::empty).left_to(bindings);
        Context::current().left_to(bindings)
    }

    pub(super) fn leave(visit: &Visit) {
        if active(Mutant::SnapshotRestore) {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(visit.context());
        }
    }
}
