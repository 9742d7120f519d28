//! What a person sees while a run is worked on: a line with the step that runs, once the run has taken longer than a
//! moment. It goes to standard error, and only to a terminal.

use std::time::Duration;

use haversack_pipeline::run_log::{Event, What};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::output::{Output, plain};

/// A run that is done before needs no bar.
const AFTER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// A bar that listens to the events of a run.
pub(super) struct Watch {
    bar: ProgressBar,
    is_shown: bool,
}

impl Watch {
    pub(super) fn new(out: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        // The template is a constant; were it wrong, the bar would only look plainer.
        let bar = match ProgressStyle::with_template("{spinner} {elapsed_precise} {pos} steps done {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { bar, is_shown: !out.is_json() }
    }

    /// Hears an event.
    pub(super) fn event(&self, event: &Event) {
        match &event.what {
            What::AttemptStarted { step, .. } => self.bar.set_message(plain(step).into_owned()),
            What::AttemptEnded { .. } => self.bar.inc(1),
            _ => {}
        }
    }

    /// Shows the bar to whoever has waited long enough, beside `work`.
    pub(super) async fn beside<R>(&self, work: impl Future<Output = R>) -> R {
        let show = async {
            tokio::time::sleep(AFTER).await;
            if self.is_shown {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            loop {
                self.bar.tick();
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            done = work => done,
            never = show => never,
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
