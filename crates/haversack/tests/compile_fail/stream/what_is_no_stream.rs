//! A future is no stream.
use haversack::StreamExt;

fn hand_over(work: impl StreamExt) {
    drop(work.in_current_context());
}

fn main() {
    hand_over(async { 1 });
}
