//! A job before it is one: what is asked for, under which name it will be known, and what the asking gives.
//!
//! [`NewJob`] is a value that names a handler, holds its arguments and a few rules; it says nothing about who asks,
//! because that is read from the context when it is submitted. Anyone may build one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use haversack::well_known::{DEADLINE, Deadline};
use haversack_store::now_millis;
use serde::{Deserialize, Serialize};

use crate::policy::{Backoff, OnExisting, millis};
use crate::{JobError, random};

/// The queue of a job that names none.
pub const DEFAULT_QUEUE: &str = "default";

/// The longest name of a handler or a queue, in bytes.
const MAX_NAME: usize = 128;

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 4096;

/// The name of a job: `job_` and 32 hexadecimal digits, drawn at random. It is no secret and opens nothing: a job is
/// shown to its owner alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that is not the name of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the id of a job: expected `job_` and 32 hexadecimal digits")]
pub struct InvalidJobId;

impl JobId {
    /// One that nobody has.
    pub(crate) fn fresh() -> Result<Self, JobError> {
        let bytes: [u8; 16] = random::bytes()?;
        let mut text = String::with_capacity(36);
        text.push_str("job_");
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let digits = text.strip_prefix("job_").ok_or(InvalidJobId)?;
        let valid = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidJobId) }
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, InvalidJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What submitting a job gave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", content = "job", rename_all = "snake_case")]
pub enum Submitted {
    /// It is queued under this id.
    Scheduled(JobId),
    /// A live job has the key; this is its id, and nothing was queued.
    AlreadyScheduled(JobId),
    /// It is queued under this id, and the job that had the key is cancelled.
    Replaced(JobId),
    /// A live job has the key, and the submitter asked to be refused then.
    Blocked,
}

impl Submitted {
    /// The job that will do the work, if one will.
    #[must_use]
    pub const fn id(&self) -> Option<&JobId> {
        match self {
            Self::Scheduled(id) | Self::AlreadyScheduled(id) | Self::Replaced(id) => Some(id),
            Self::Blocked => None,
        }
    }
}

/// A job to submit.
///
/// ```
/// use std::time::Duration;
/// use haversack_jobs::{Backoff, NewJob};
///
/// # fn build() -> Result<NewJob, haversack_jobs::JobError> {
/// let job = NewJob::new("invoice.send", &"2026-0042")?
///     .key("invoice 2026-0042")
///     .delay(Duration::from_secs(60))
///     .max_attempts(8)
///     .backoff(Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) });
/// # Ok(job) }
/// # build().unwrap();
/// ```
#[derive(Clone)]
#[must_use = "a job does nothing until it is submitted"]
pub struct NewJob {
    pub(crate) plan: Plan,
    pub(crate) arguments: Vec<u8>,
    within_deadline: bool,
}

/// What is stored of a job in the clear: where it goes, and by which rules. No arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) handler: String,
    pub(crate) queue: String,
    pub(crate) dedup: Option<String>,
    pub(crate) existing: OnExisting,
    pub(crate) run_at: i64,
    pub(crate) timeout_ms: i64,
    pub(crate) deadline: Option<i64>,
    pub(crate) max_attempts: u32,
    pub(crate) max_deliveries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) keep_ms: i64,
}

impl NewJob {
    /// A job for the handler of this name. By default it goes to the queue `default` at once, each attempt has ten
    /// minutes, there are five attempts and five deliveries to workers that die, and its row stays a day after its end.
    ///
    /// # Errors
    /// [`JobError::Name`] for a handler that cannot have this name, [`JobError::Arguments`] when they are not JSON.
    pub fn new(handler: &str, arguments: &impl Serialize) -> Result<Self, JobError> {
        name("handler", handler)?;
        let arguments = serde_json::to_vec(arguments).map_err(JobError::Arguments)?;
        let plan = Plan {
            handler: handler.to_owned(),
            queue: DEFAULT_QUEUE.to_owned(),
            dedup: None,
            existing: OnExisting::Keep,
            run_at: now_millis(),
            timeout_ms: 10 * 60 * 1000,
            deadline: None,
            max_attempts: 5,
            max_deliveries: 5,
            backoff: Backoff::default(),
            keep_ms: 24 * 3600 * 1000,
        };
        Ok(Self { plan, arguments, within_deadline: false })
    }

    /// An idempotency key: while a job of the tenant for the same handler is live under it, no second one is queued.
    /// It is stored as a hash.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.plan.dedup = Some(key.into());
        self
    }

    /// What happens when a live job has the key; [`OnExisting::Keep`] by default.
    pub fn on_existing(mut self, existing: OnExisting) -> Self {
        self.plan.existing = existing;
        self
    }

    /// Not before so long from now.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.plan.run_at = now_millis().saturating_add(millis(delay));
        self
    }

    /// The queue, which decides which workers may take it.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.plan.queue = queue.into();
        self
    }

    /// The time of each attempt, which the job itself may extend.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.timeout_ms = millis(timeout);
        self
    }

    /// No time limit: an attempt ends when its handler does. For work whose parts have limits of their own.
    pub fn without_timeout(mut self) -> Self {
        self.plan.timeout_ms = millis(Duration::MAX);
        self
    }

    /// The moment after which nobody wants the work any more. It ends also an attempt that extended its time.
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.plan.deadline = Some(now_millis().saturating_add(millis(deadline.remaining())));
        self
    }

    /// Takes the deadline of the submitting context along, where there is one: for work that is part of an answer
    /// and not left for later. It shrinks from hop to hop, because it is a moment and not a span.
    pub fn within_deadline(mut self) -> Self {
        self.within_deadline = true;
        self
    }

    /// How often it is tried when its handler fails; at least once.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.plan.max_attempts = attempts.max(1);
        self
    }

    /// How often it is handed to a worker that dies over it, before it is put into quarantine; at least once.
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.plan.max_deliveries = deliveries.max(1);
        self
    }

    /// The wait between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.plan.backoff = backoff;
        self
    }

    /// How long the job and its result can be asked for after its end; then a sweep deletes them.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.plan.keep_ms = millis(keep);
        self
    }

    /// What was asked for, checked; called where the context is captured.
    pub(crate) fn checked(mut self, max_arguments: usize) -> Result<(Plan, Vec<u8>), JobError> {
        name("queue", &self.plan.queue)?;
        if self.plan.dedup.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            return Err(JobError::Name { what: "idempotency key" });
        }
        if self.arguments.len() > max_arguments {
            return Err(JobError::TooLarge { bytes: self.arguments.len(), limit: max_arguments });
        }
        if self.within_deadline
            && let Some(deadline) = DEADLINE.bound()
        {
            let carried = now_millis().saturating_add(millis(deadline.remaining()));
            self.plan.deadline = Some(self.plan.deadline.map_or(carried, |own| own.min(carried)));
        }
        Ok((self.plan, self.arguments))
    }
}

impl fmt::Debug for NewJob {
    /// Without arguments and key, which may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("handler", &self.plan.handler)
            .field("queue", &self.plan.queue)
            .finish_non_exhaustive()
    }
}

fn name(what: &'static str, name: &str) -> Result<(), JobError> {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let valid = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
    if valid { Ok(()) } else { Err(JobError::Name { what }) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_random_and_read_back() {
        let (one, other) = (JobId::fresh().unwrap(), JobId::fresh().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 4 + 32);
        assert_eq!(one.as_str().parse(), Ok(one.clone()));
        for bad in [
            "",
            "job_",
            "job_1",
            "JOB_00000000000000000000000000000000",
            "job_0000000000000000000000000000000G",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(InvalidJobId), "{bad}");
        }
    }

    /// 128 random bits: each of the 32 digits is drawn anew for each id, from all sixteen.
    #[test]
    fn every_digit_of_an_id_is_random() {
        let ids: HashSet<JobId> = (0..1_000).map(|_| JobId::fresh().unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
        for at in 0..32 {
            let digits: HashSet<char> =
                ids.iter().filter_map(|id| id.as_str()[4..].chars().nth(at)).collect();
            assert_eq!(digits.len(), 16, "digit {at}: {digits:?}");
        }
        // Nor is one digit another's copy. Of a thousand, some sixty are the same by chance.
        for (one, other) in (0..32).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let same = ids.iter().filter(|id| id.0.as_bytes()[4 + one] == id.0.as_bytes()[4 + other]).count();
            assert!(same < 300, "digits {one} and {other} are the same in {same} ids");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(NewJob::new("mail.send-now_2", &()).is_ok());
        for bad in ["", "a b", "a:b", "a/b", &"x".repeat(129)] {
            assert!(matches!(NewJob::new(bad, &()), Err(JobError::Name { what: "handler" })), "{bad}");
            let queue = NewJob::new("a", &()).unwrap().queue(bad).checked(10);
            assert!(matches!(queue, Err(JobError::Name { what: "queue" })), "{bad}");
        }
    }

    #[test]
    fn arguments_that_are_too_large_are_an_error_of_their_own() {
        let job = NewJob::new("a", &"x".repeat(100)).unwrap();
        assert!(matches!(job.checked(100), Err(JobError::TooLarge { bytes: 102, limit: 100 })));
    }
}
