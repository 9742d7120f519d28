//! Bindings as fields of `tracing` spans.
//!
//! The span itself moves with the context, see [`FutureExt`](crate::FutureExt) and `spawn`. A span says when it is made
//! which fields it has; [`record`] fills those that are named as variables.

use tracing::Span;

use crate::Context;

/// Records what the current context binds in the fields of `span` that have a variable's name. Only variables that are
/// declared [`shown`](crate::ContextVar::shown) are recorded; a field that no variable names stays as it is.
///
/// ```
/// use haversack::well_known::{TENANT_ID, TenantId};
/// use haversack::{Boundary, ContextVar};
/// use tracing::field::Empty;
/// use tracing::info_span;
///
/// static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID]);
///
/// let visit = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap())).unwrap();
/// visit.run(|| {
///     let span = info_span!("search", tenant = Empty, shelf = 7);
///     haversack::tracing::record(&span); // tenant = acme
/// });
/// ```
pub fn record(span: &Span) {
    if span.is_disabled() {
        return;
    }
    for binding in Context::current().describe().bindings.into_iter().filter(|binding| binding.shown) {
        if span.has_field(binding.name) {
            span.record(binding.name, binding.value.as_str());
        }
    }
}
