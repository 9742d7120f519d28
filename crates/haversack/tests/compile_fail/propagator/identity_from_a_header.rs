//! What only doors bind is taken from no header: nobody says by a header who is asking.

use haversack::propagator::Propagator;
use haversack::{AtDoor, ContextVar, incoming};

static TENANT: ContextVar<String, AtDoor> = ContextVar::new("tenant").outbound("x-tenant").at_door();
static WIRE: Propagator = Propagator::new().headers_in(incoming![TENANT]);

fn main() {}
