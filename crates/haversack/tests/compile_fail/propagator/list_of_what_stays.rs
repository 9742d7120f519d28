//! A variable that may not leave is in no list: neither one that never said so, nor a secret or a confined one, which
//! cannot say so.

use haversack::propagator::Propagator;
use haversack::{ContextVar, incoming, outgoing};

static LOCAL: ContextVar<u32> = ContextVar::new("local");
static KEY: ContextVar<u32> = ContextVar::new("key").secret();
static OPEN: ContextVar<u32> = ContextVar::new("open").confined();

static SENT: Propagator = Propagator::new().headers_out(outgoing![LOCAL]);
static TOLD: Propagator = Propagator::new().baggage_out(outgoing![KEY]);
static MOVED: Propagator = Propagator::new().headers_out(outgoing![OPEN]);
static ASKED: Propagator = Propagator::new().headers_from_anybody(incoming![LOCAL]);

fn main() {}
