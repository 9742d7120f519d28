//! What needs positions stands before the context: behind it, it would run in none.
use haversack::rayon::ParallelIteratorExt;
use rayon::prelude::*;

fn main() {
    let _ = (0..8_u32).into_par_iter().in_current_context().enumerate();
}
