//! What is not portable cannot be listed, of either kind; what is listed twice would be read as the other.
use haversack::{AtDoor, ContextVar, Manifest, manifest};

static OPEN: ContextVar<u32> = ContextVar::new("open").confined();
static PLAIN: ContextVar<u32> = ContextVar::new("plain");
static DOOR: ContextVar<u32, AtDoor> = ContextVar::new("door").at_door();
static LOCALE: ContextVar<u32> = ContextVar::new("locale").portable(1);
static OTHER: ContextVar<u64> = ContextVar::new("locale").portable(2);

static CONFINED: Manifest = manifest![OPEN];
static NOT_PORTABLE: Manifest = manifest![LOCALE; PLAIN];
static NOT_PORTABLE_AT_DOOR: Manifest = manifest![DOOR];
static TWICE: Manifest = manifest![LOCALE, LOCALE];
static SAME_NAME: Manifest = manifest![LOCALE; OTHER];

fn main() {}
