//! A message that is put into an envelope and dropped reaches nobody.
#![deny(unused_must_use)]
use haversack::Enveloped;

fn main() {
    Enveloped::new(1);
    Enveloped::new(1).open_async(|number| async move { number });
}
