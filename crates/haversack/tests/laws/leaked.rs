//! Variables made at run time. They live for ever, on purpose; a static keeps them in sight of leak checks.

use std::any::Any;
use std::sync::Mutex;

use haversack::ContextVar;

static KEPT: Mutex<Vec<&'static (dyn Any + Send + Sync)>> = Mutex::new(Vec::new());

pub(crate) fn leaked<T: 'static>(name: &'static str) -> &'static ContextVar<T> {
    let variable: &'static ContextVar<T> = Box::leak(Box::new(ContextVar::new(name)));
    KEPT.lock().unwrap().push(variable);
    variable
}
