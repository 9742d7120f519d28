//! A snapshot leaves sealed only, and nobody makes one but a manifest; a manifest lists statics.
use haversack::{ContextVar, Keyring, Manifest, Snapshot, manifest};

static LOCALE: ContextVar<u32> = ContextVar::new("locale").portable(1);
static OUT: Manifest = manifest![LOCALE];

fn main() {
    let _ = serde_json::to_string(&OUT.capture().unwrap());
    let _ = Snapshot { wire: () };
    let _ = serde_json::to_string(&Keyring::generate().unwrap());

    let here: ContextVar<u32> = ContextVar::new("here").portable(1);
    static LOCAL: Manifest = manifest![here];
}
