//! Values that tell, when they are dropped, under which context that happened.

use std::sync::mpsc::{Receiver, Sender, channel};

use haversack::ContextVar;

/// What a probe looks at.
pub(crate) static MARK: ContextVar<u32> = ContextVar::new("mark");

/// Sends, at its drop, what [`MARK`] reads as there.
pub(crate) struct Probe(Sender<Option<u32>>);

impl Drop for Probe {
    fn drop(&mut self) {
        // A test that ended early does not listen any more.
        let _ = self.0.send(MARK.get().ok());
    }
}

/// A probe, and what it will have seen.
pub(crate) fn probe() -> (Probe, Seen) {
    let (send, receive) = channel();
    (Probe(send), Seen(receive))
}

/// What one probe saw at its drop.
pub(crate) struct Seen(Receiver<Option<u32>>);

impl Seen {
    /// What the probe saw. The probe must have been dropped.
    #[track_caller]
    pub(crate) fn at_drop(&self) -> Option<u32> {
        self.0.try_recv().expect("the probe has not been dropped yet")
    }

    /// Whether the probe still lives.
    pub(crate) fn not_yet(&self) -> bool {
        self.0.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty)
    }

    /// Waits for the drop on another thread.
    pub(crate) fn wait(&self) -> Option<u32> {
        self.0.recv_timeout(crate::runtimes::LIMIT).expect("the probe was not dropped in time")
    }

    /// Waits for a drop that this very thread may have to do.
    #[cfg(feature = "tokio")]
    pub(crate) async fn soon(&self) -> Option<u32> {
        loop {
            match self.0.try_recv() {
                Ok(seen) => break seen,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}
