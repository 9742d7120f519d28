//! Missing paths: an entry point is run once for each variable that it needs, with that one not bound, and must fail
//! at the boundary, loudly, each time.
//!
//! The variable is taken away at the door itself: its binding there is skipped, as if the line that binds it were
//! missing. So the very entry point of the product is run, and what it is given stays as it is.

use std::fmt;
use std::future::Future;

use super::removal::{Door, Watch, watch};
use crate::{Boundary, Variable};

/// A check of every missing path of one boundary.
///
/// ```
/// use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
/// use haversack::{Boundary, Refused, testing};
///
/// static DOOR: Boundary = Boundary::new("mail").requires(&[&TENANT_ID, &PRINCIPAL]);
///
/// /// An entry point.
/// async fn arrived(tenant: &str, from: &str) -> Result<String, Box<dyn std::error::Error>> {
///     let (tenant, from) = (TenantId::new(tenant)?, Principal::new(from)?);
///     let visit = DOOR.enter(|bindings| bindings.bind(&TENANT_ID, tenant).bind(&PRINCIPAL, from))?;
///     Ok(visit.wrap(async { format!("mail for {}", TENANT_ID.get().unwrap()) }).await)
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # haversack::block_on(&runtime, async {
/// testing::missing_paths(&DOOR).run(|| arrived("acme", "kim")).await.assert_loud();
/// # });
/// ```
///
/// A variable is taken away on the calling thread alone, which reaches everything under `#[tokio::test]` and nothing
/// of the tests beside it. A door that other threads enter needs [`process_wide`](Self::process_wide).
#[derive(Clone)]
#[must_use = "nothing is checked until `run`"]
pub struct MissingPaths {
    door: Door,
    more: Vec<&'static str>,
    process: bool,
}

/// A check of every missing path of `boundary`: of what it requires, and of what [`and`](MissingPaths::and) adds.
pub fn missing_paths(boundary: &'static Boundary) -> MissingPaths {
    MissingPaths { door: Door::This(boundary), more: Vec::new(), process: false }
}

/// The same for a boundary that the test cannot name but by the name in its declaration: the first of that name that
/// the entry point enters when everything is bound.
///
/// ```
/// mod mail {
///     use haversack::well_known::{TENANT_ID, TenantId};
///     use haversack::{Boundary, Refused};
///
///     static DOOR: Boundary = Boundary::new("mail").requires(&[&TENANT_ID]);
///
///     pub async fn arrived(tenant: TenantId) -> Result<(), Refused> {
///         DOOR.enter(|bindings| bindings.bind(&TENANT_ID, tenant)).map(drop)
///     }
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # haversack::block_on(&runtime, async {
/// let acme = haversack::well_known::TenantId::new("acme").unwrap();
/// let report = haversack::testing::missing_paths_at("mail").run(|| mail::arrived(acme.clone())).await;
/// report.assert_loud();
/// assert_eq!(report.variables(), ["tenant"]);
/// # });
/// ```
pub fn missing_paths_at(boundary: &'static str) -> MissingPaths {
    MissingPaths { door: Door::Named(boundary), more: Vec::new(), process: false }
}

impl MissingPaths {
    /// Variables that the work behind the boundary needs, whether or not the boundary says so. One that it does not
    /// require is a finding: then nothing refuses at the edge.
    ///
    /// ```
    /// use haversack::testing::{Fault, missing_paths};
    /// use haversack::{Boundary, ContextVar};
    ///
    /// static LOCALE: ContextVar<&str> = ContextVar::new("locale");
    /// static MAIL: Boundary = Boundary::new("mail");
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # haversack::block_on(&runtime, async {
    /// let entry_point = || async {
    ///     let visit = MAIL.enter(|bindings| bindings.bind(&LOCALE, "de")).unwrap();
    ///     visit.run(|| LOCALE.get())
    /// };
    /// let report = missing_paths(&MAIL).and(&[&LOCALE]).run(entry_point).await;
    /// assert_eq!(report.faults(), [Fault::Late { variable: "locale" }]);
    /// # });
    /// ```
    pub fn and(mut self, variables: &[&'static dyn Variable]) -> Self {
        self.more.extend(variables.iter().map(|variable| variable.name()));
        self
    }

    /// Takes the variable away on every thread: for servers and workers, whose doors are entered by infrastructure.
    /// Whatever else enters the boundary meanwhile lacks it too, so such a test wants a process of its own.
    pub fn process_wide(mut self) -> Self {
        self.process = true;
        self
    }

    /// Runs `entry` once as it is, where it must succeed, and once for each variable, where it must fail.
    ///
    /// What an entry point that is a server answers is turned into a `Result` by the caller: a refusal is an `Err`.
    pub async fn run<T, E, F>(self, mut entry: impl FnMut() -> F) -> MissingReport
    where
        F: Future<Output = Result<T, E>>,
    {
        let Self { door, more, process } = self;
        let thread = (!process).then(|| std::thread::current().id());
        let control = watch(door, None, thread);
        let succeeded = entry().await.is_ok();
        let Some(boundary) = control.entered() else {
            return MissingReport::of(door, vec![Fault::NeverEntered]);
        };
        drop(control);
        if !succeeded {
            return MissingReport::of(door, vec![Fault::Control]);
        }
        let mut variables: Vec<_> = boundary.required().iter().map(|variable| variable.name()).collect();
        for name in more {
            if !variables.contains(&name) {
                variables.push(name);
            }
        }
        let mut faults = Vec::new();
        for variable in &variables {
            let seen = watch(door, Some(variable), thread);
            let succeeded = entry().await.is_ok();
            faults.extend(judge(variable, &seen, succeeded));
        }
        MissingReport { variables, ..MissingReport::of(door, faults) }
    }
}

impl fmt::Debug for MissingPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { door, more, process } = self;
        let mut debug = f.debug_struct("MissingPaths");
        debug.field("door", door).field("more", more).field("process_wide", process).finish()
    }
}

fn judge(variable: &'static str, seen: &Watch, succeeded: bool) -> Option<Fault> {
    match (seen.refused(), seen.entered().is_some(), succeeded) {
        (true, false, false) => None,
        // Refused and let in: a second try, at the same door, without what was refused.
        (true, _, true) | (true, true, false) => Some(Fault::Swallowed { variable }),
        (false, true, true) => Some(Fault::Silent { variable }),
        (false, true, false) => Some(Fault::Late { variable }),
        (false, false, _) => Some(Fault::NotReached { variable }),
    }
}

/// What a check found. It prints as one line a fault.
#[derive(Clone, Debug)]
pub struct MissingReport {
    boundary: &'static str,
    variables: Vec<&'static str>,
    faults: Vec<Fault>,
}

/// A path that is not loud, or a check that proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The entry point never enters this boundary, or does it on a thread that the check does not watch.
    NeverEntered,
    /// With everything bound the entry point fails too, so that its failures say nothing.
    Control,
    /// The boundary refused, and the entry point succeeded all the same, or entered once more.
    Swallowed {
        /// The variable that was not bound.
        variable: &'static str,
    },
    /// The boundary does not require it: the entry point failed later, behind the edge.
    Late {
        /// The variable that was not bound.
        variable: &'static str,
    },
    /// The boundary does not require it, and the entry point succeeded without it.
    Silent {
        /// The variable that was not bound.
        variable: &'static str,
    },
    /// Without it the entry point does not come as far as the boundary, or nobody binds it there.
    NotReached {
        /// The variable that was not bound.
        variable: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverEntered => f.write_str(
                "the entry point never entered the boundary; where other threads enter it, check `process_wide`",
            ),
            Self::Control => f.write_str(
                "with everything bound the entry point fails too; give it an arrival that succeeds",
            ),
            Self::Swallowed { variable } => write!(
                f,
                "without `{variable}` the boundary refused and the work went on; hand the refusal on as an error"
            ),
            Self::Late { variable } => write!(
                f,
                "without `{variable}` the work failed behind the boundary; let the boundary require it"
            ),
            Self::Silent { variable } => write!(
                f,
                "without `{variable}` the work succeeded; let the boundary require it, or do not list it"
            ),
            Self::NotReached { variable } => {
                write!(f, "without `{variable}` the boundary was not reached, so nothing refused there")
            }
        }
    }
}

impl MissingReport {
    fn of(door: Door, faults: Vec<Fault>) -> Self {
        let boundary = match door {
            Door::This(boundary) => boundary.name(),
            Door::Named(name) => name,
        };
        Self { boundary, variables: Vec::new(), faults }
    }

    /// The variables whose path was checked.
    #[must_use]
    pub fn variables(&self) -> &[&'static str] {
        &self.variables
    }

    /// Each path that did not fail at the boundary.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Demands that there is none.
    ///
    /// # Panics
    /// With every fault, when there is one.
    #[track_caller]
    pub fn assert_loud(&self) {
        assert!(self.faults.is_empty(), "{self}");
    }
}

impl fmt::Display for MissingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boundary, variables, faults } = self;
        write!(f, "missing paths of `{boundary}`: {} checked", variables.len())?;
        faults.iter().try_for_each(|fault| write!(f, "\n- {fault}"))
    }
}
