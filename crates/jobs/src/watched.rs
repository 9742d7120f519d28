//! Who waits for news of which job. It is modelled as one channel for each job that somebody watches, shared by all who do,
//! so that a change wakes those whose job it is and nobody else. What changes jobs in this process tells it; a
//! [`JobWatch`](crate::JobWatch) listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::JobId;

/// The jobs that are watched in this process. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<HashMap<JobId, watch::Sender<u64>>>>);

/// What comes of one job. When the last one of a job is dropped, the job is watched no more.
pub(crate) struct News {
    /// There until the drop.
    told: Option<watch::Receiver<u64>>,
    watched: Watched,
    id: JobId,
}

impl Watched {
    /// Tells those who watch one of these jobs to look again.
    pub(crate) fn tell<'a>(&self, ids: impl IntoIterator<Item = &'a JobId>) {
        let jobs = self.jobs();
        for told in ids.into_iter().filter_map(|id| jobs.get(id)) {
            told.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// The news of a job from now on.
    pub(crate) fn listen(&self, id: &JobId) -> News {
        let told = self.jobs().entry(id.clone()).or_default().subscribe();
        News { told: Some(told), watched: self.clone(), id: id.clone() }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    /// What has come so far is known.
    pub(crate) fn are_known(&mut self) {
        if let Some(told) = &mut self.told {
            told.mark_unchanged();
        }
    }

    /// Waits for news that are not known.
    pub(crate) async fn come(&mut self) {
        if let Some(told) = &mut self.told
            && told.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let mut jobs = self.watched.jobs();
        // While the map is held: of two that go at once the second sees that it is the last.
        drop(self.told.take());
        if jobs.get(&self.id).is_some_and(|told| told.receiver_count() == 0) {
            jobs.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_change_wakes_those_whose_job_it_is_and_nobody_else() {
        let (watched, a, b) = (Watched::default(), JobId::fresh().unwrap(), JobId::fresh().unwrap());
        let (mut one, mut two, mut other) = (watched.listen(&a), watched.listen(&a), watched.listen(&b));
        watched.tell([&a]);
        assert!(one.come().now_or_never().is_some() && two.come().now_or_never().is_some());
        assert!(other.come().now_or_never().is_none());
        watched.tell([&b]);
        assert!(one.come().now_or_never().is_none() && other.come().now_or_never().is_some());
    }

    #[test]
    fn a_job_that_nobody_watches_any_more_is_forgotten() {
        let (watched, id) = (Watched::default(), JobId::fresh().unwrap());
        let (one, two) = (watched.listen(&id), watched.listen(&id));
        drop(one);
        assert_eq!(watched.jobs().len(), 1);
        drop(two);
        assert!(watched.jobs().is_empty());
    }
}
