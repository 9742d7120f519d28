//! A value that has no encoding cannot travel, so its variable cannot be listed.
use haversack::{ContextVar, Manifest, manifest};

struct Handle(#[allow(dead_code)] u32);

static HANDLE: ContextVar<Handle> = ContextVar::new("handle").portable(1);
static OUT: Manifest = manifest![HANDLE];

fn main() {}
