//! A header that means something on its way is no variable's, and two variables do not share one.

use haversack::propagator::Propagator;
use haversack::well_known::TRACE_CONTEXT;
use haversack::{ContextVar, incoming, outgoing};

static LOGIN: ContextVar<u32> = ContextVar::new("login").outbound("authorization");
static LOUD: ContextVar<u32> = ContextVar::new("loud").outbound("X-Loud");
static ONE: ContextVar<u32> = ContextVar::new("one").outbound("x-one");
static OTHER: ContextVar<u32> = ContextVar::new("other").outbound("x-one");
static SPACED: ContextVar<u32> = ContextVar::new("two words").outbound("x-words");

static A: Propagator = Propagator::new().headers_out(outgoing![LOGIN]);
static B: Propagator = Propagator::new().headers_in(incoming![LOUD]);
static C: Propagator = Propagator::new().headers_out(outgoing![ONE, OTHER]);
static D: Propagator = Propagator::new().baggage_out(outgoing![ONE, ONE]);
static E: Propagator = Propagator::new().baggage_in(incoming![SPACED]);
static F: Propagator = Propagator::new().headers_out(outgoing![TRACE_CONTEXT]);

fn main() {}
