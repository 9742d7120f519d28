//! An iterator is no parallel iterator.
use haversack::rayon::ParallelIteratorExt;

fn hand_over(work: impl ParallelIteratorExt) {
    drop(work.in_current_context());
}

fn main() {
    hand_over(0..8);
}
