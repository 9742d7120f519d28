//! A declaration that contradicts itself does not compile, in whichever order it is written.
use haversack::ContextVar;

static SECRET_OUTBOUND: ContextVar<u32> = ContextVar::new("key").secret().outbound("x-key");
static OUTBOUND_SECRET: ContextVar<u32> = ContextVar::new("key").outbound("x-key").secret();
static CONFINED_PORTABLE: ContextVar<u32> = ContextVar::new("open").confined().portable(1);
static PORTABLE_CONFINED: ContextVar<u32> = ContextVar::new("open").portable(1).confined();
static CONFINED_OUTBOUND: ContextVar<u32> = ContextVar::new("open").confined().outbound("x-open");
static OUTBOUND_CONFINED: ContextVar<u32> = ContextVar::new("open").outbound("x-open").confined();
static SECRET_SHOWN: ContextVar<u32> = ContextVar::new("key").secret().shown();
static SHOWN_SECRET: ContextVar<u32> = ContextVar::new("key").shown().secret();

fn main() {}
