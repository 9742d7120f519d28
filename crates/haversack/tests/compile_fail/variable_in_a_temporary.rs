//! A temporary is gone before anybody else could read it.
use haversack::ContextVar;

fn main() {
    let _ = ContextVar::<u32>::new("locale").get();
}
