//! The peers, each with as many values bound as ours, and what one operation of ours is in their terms.

use std::future::Future;

use opentelemetry::Context as OtelContext;
use tracing::Span;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

tokio::task_local! {
    /// One value, whatever is bound: a program with more of them puts them into one struct.
    pub(crate) static TOKIO: u64;
    pub(crate) static TOKIO_UNBOUND: u64;
}

/// OpenTelemetry finds values by their type.
#[derive(Clone, Copy)]
pub(crate) struct Key<const N: usize>(pub(crate) u64);

macro_rules! otel_with {
    ($n:expr, $($i:literal)*) => {{
        let mut context = OtelContext::new();
        $(if $i < $n { context = context.with_value(Key::<$i>(7)); })*
        context
    }};
}

pub(crate) fn otel(n: usize) -> OtelContext {
    otel_with!(n, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
        36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
}

pub(crate) fn otel_get() -> Option<u64> {
    OtelContext::map_current(|context| context.get::<Key<0>>().map(|key| key.0))
}

pub(crate) fn otel_unbound() -> Option<u64> {
    OtelContext::map_current(|context| context.get::<Key<999>>().map(|key| key.0))
}

/// dcontext finds values by their name, which is registered first.
pub(crate) static DCONTEXT: [&str; 64] = {
    let mut names = [""; 64];
    let all = "k00k01k02k03k04k05k06k07k08k09k10k11k12k13k14k15k16k17k18k19k20k21k22k23k24k25k26k27k28k29k30k31\
               k32k33k34k35k36k37k38k39k40k41k42k43k44k45k46k47k48k49k50k51k52k53k54k55k56k57k58k59k60k61k62k63";
    let mut i = 0;
    while i < 64 {
        names[i] = all.split_at(3 * i).1.split_at(3).0;
        i += 1;
    }
    names
};

/// Once in the process.
pub(crate) fn register() {
    let mut builder = dcontext::RegistryBuilder::new();
    for name in DCONTEXT {
        builder.register::<u64>(name);
    }
    dcontext::initialize(builder);
}

/// Binds in the current store.
pub(crate) fn dcontext_bind(n: usize) {
    for name in &DCONTEXT[..n] {
        dcontext::set_context_variable(name, 7_u64);
    }
}

/// A store that begins with nothing, current until the answer is dropped.
pub(crate) fn dcontext_fresh() -> dcontext::AttachGuard {
    dcontext::attach_snapshot(dcontext::ContextSnapshot::empty())
}

/// A span with a value that hangs in the registry: tracing has no other way to read what a span knows.
pub(crate) fn span(n: usize) -> Span {
    let span = tracing::info_span!("bench");
    tracing::dispatcher::get_default(|dispatch| {
        let (Some(registry), Some(id)) = (dispatch.downcast_ref::<Registry>(), span.id()) else { return };
        if let Some(data) = registry.span(&id) {
            data.extensions_mut().insert(n as u64);
        }
    });
    span
}

pub(crate) fn tracing_get() -> Option<u64> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        let span = registry.span(current.id()?)?;
        span.extensions().get::<u64>().copied()
    })
}

// One function a peer: their extension traits name their methods alike.

pub(crate) fn in_tokio<F: Future>(value: u64, future: F) -> impl Future<Output = F::Output> {
    TOKIO.scope(value, future)
}

pub(crate) fn in_otel<F: Future>(future: F, context: OtelContext) -> impl Future<Output = F::Output> {
    opentelemetry::context::FutureExt::with_context(future, context)
}

pub(crate) fn in_dcontext<F: Future>(future: F) -> impl Future<Output = F::Output> {
    dcontext::ContextFutureExt::fork(future)
}

pub(crate) fn in_span<F: Future>(future: F, span: Span) -> impl Future<Output = F::Output> {
    tracing::instrument::Instrument::instrument(future, span)
}

/// Calls `f` with `n` bound by everybody: ours is bound by the caller.
pub(crate) fn bound<R>(n: usize, f: impl FnOnce() -> R) -> R {
    let _otel = otel(n).attach();
    let _dcontext = dcontext_fresh();
    dcontext_bind(n);
    let _span = span(n).entered();
    TOKIO.sync_scope(7, f)
}
