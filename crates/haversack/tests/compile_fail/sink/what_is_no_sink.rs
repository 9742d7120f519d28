//! A number is no sink.
use haversack::SinkExt;

fn hand_over(work: impl SinkExt<u32>) {
    drop(work.in_current_context());
}

fn main() {
    hand_over(1_u32);
}
