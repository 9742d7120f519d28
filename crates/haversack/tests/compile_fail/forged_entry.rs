//! An entry has no public field that a caller could fill in.
use std::num::NonZeroU64;

use haversack::{Boundary, Entry};

static DOOR: Boundary = Boundary::new("door");

fn main() {
    let _entry = Entry { id: NonZeroU64::MIN, boundary: &DOOR };
}
