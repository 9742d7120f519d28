//! What a boundary requires is a context variable and nothing that claims to be one.
use haversack::{Boundary, Context, Policy, Variable};

struct Claims;

impl Variable for Claims {
    fn name(&self) -> &'static str {
        "tenant"
    }
    fn policy(&self) -> &Policy {
        unreachable!()
    }
    fn is_bound_in(&'static self, _: &Context) -> bool {
        true
    }
}

static DOOR: Boundary = Boundary::new("door").requires(&[&Claims]);

fn main() {}
