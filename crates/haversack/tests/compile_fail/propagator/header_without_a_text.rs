//! What leaves in a header prints, and what is taken from one is read from text.

use haversack::propagator::Propagator;
use haversack::{ContextVar, incoming, outgoing};

struct Opaque;

static OPAQUE: ContextVar<Opaque> = ContextVar::new("opaque").outbound("x-opaque");
static SENT: Propagator = Propagator::new().headers_out(outgoing![OPAQUE]);
static TAKEN: Propagator = Propagator::new().headers_in(incoming![OPAQUE]);

fn main() {}
