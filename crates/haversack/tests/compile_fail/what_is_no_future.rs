//! A closure is no future, nor is a number: the sentence says what carries them.
use haversack::FutureExt;

fn hand_over(work: impl FutureExt) {
    drop(work.in_current_context());
}

fn main() {
    hand_over(|| 1);
    hand_over(1);
}
