//! A carried closure goes to another thread like any other: carrying makes nothing `Send`.
use std::rc::Rc;

fn main() {
    let rc = Rc::new(1);
    let _ = haversack::thread::spawn(move || *rc);
}
