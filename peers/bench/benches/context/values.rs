//! Reading, setting, binding and capturing.

use std::hint::black_box;

use haversack::{Context, ContextVar};
use opentelemetry::Context as OtelContext;
use tracing::Span;

use crate::measure::{Contestant, Who};
use crate::peers::{self, DCONTEXT, Key, TOKIO, TOKIO_UNBOUND};
use crate::{Bench, VARS, bound};

static UNBOUND: ContextVar<u64> = ContextVar::new("unbound");

pub(crate) fn rows(bench: &mut Bench) {
    for n in [1, 4, 16, 64] {
        reads(bench, n);
    }
    unbound(bench);
    for n in [1, 4, 16, 64] {
        sets(bench, n);
    }
    floor(bench);
    for n in [1, 4, 16, 64] {
        binds(bench, n);
    }
    captures(bench);
}

fn reads(bench: &mut Bench, n: usize) {
    let (var, name) = (&VARS[n - 1], DCONTEXT[n - 1]);
    bench.row(
        &format!("get, {n} bound"),
        n,
        Some("get"),
        |_| Some(1.5),
        || {
            vec![
                Contestant::new(Who::Ours, || {
                    black_box(var.get().ok());
                }),
                Contestant::new(Who::Tokio, || {
                    black_box(TOKIO.try_with(|value| *value).ok());
                }),
                Contestant::new(Who::OpenTelemetry, || {
                    black_box(peers::otel_get());
                }),
                Contestant::new(Who::Dcontext, move || {
                    black_box(dcontext::get_context_variable::<u64>(name));
                }),
                Contestant::new(Who::Tracing, || {
                    black_box(peers::tracing_get());
                }),
            ]
        },
    );
    bench.row(
        &format!("with, {n} bound"),
        n,
        None,
        |_| Some(1.5),
        || {
            vec![
                Contestant::new(Who::Ours, || {
                    black_box(var.with(|value| *value).ok());
                }),
                Contestant::new(Who::Tokio, || {
                    black_box(TOKIO.try_with(|value| *value).ok());
                }),
                Contestant::new(Who::OpenTelemetry, || {
                    black_box(peers::otel_get());
                }),
            ]
        },
    );
}

fn unbound(bench: &mut Bench) {
    bench.row(
        "get, unbound: the error is built",
        16,
        Some("unbound"),
        |_| None,
        || {
            vec![
                Contestant::new(Who::Ours, || drop(black_box(UNBOUND.get()))),
                Contestant::new(Who::Tokio, || {
                    black_box(TOKIO_UNBOUND.try_with(|value| *value).ok());
                }),
                Contestant::new(Who::OpenTelemetry, || {
                    black_box(peers::otel_unbound());
                }),
                Contestant::new(Who::Dcontext, || {
                    black_box(dcontext::get_context_variable::<u64>("unknown"));
                }),
            ]
        },
    );
}

fn sets(bench: &mut Bench, n: usize) {
    let (var, name) = (&VARS[n - 1], DCONTEXT[n - 1]);
    let ours = move || {
        if let Ok(token) = var.set(black_box(8)) {
            let _ = black_box(token.reset());
        }
    };
    let otel = || drop(black_box(OtelContext::current_with_value(Key::<0>(8)).attach()));
    let dcontext = move || {
        let _scope = dcontext::push_scope("bench");
        dcontext::set_context_variable(name, black_box(8_u64));
    };
    bench.row(
        &format!("set + reset, {n} bound, alone"),
        n,
        Some("reset"),
        |_| (n == 16).then_some(15.0),
        || {
            // The first set makes the frame's own copy.
            ours();
            vec![
                Contestant::new(Who::Ours, ours),
                Contestant::new(Who::OpenTelemetry, otel),
                Contestant::new(Who::Dcontext, dcontext),
            ]
        },
    );
    bench.row(
        &format!("set + reset, {n} bound, shared"),
        n,
        Some("shared"),
        |_| (n == 16).then_some(100.0),
        || {
            vec![
                Contestant::new(Who::Ours, move || {
                    let held = Context::current();
                    ours();
                    drop(held);
                }),
                Contestant::new(Who::OpenTelemetry, move || {
                    let held = OtelContext::current();
                    otel();
                    drop(held);
                }),
                Contestant::new(Who::Dcontext, move || {
                    let held = dcontext::fork();
                    dcontext();
                    drop(held);
                }),
            ]
        },
    );
    bench.row(
        &format!("sync_scope, {n} bound"),
        n,
        None,
        |_| None,
        || {
            vec![
                Contestant::new(Who::Ours, || var.sync_scope(black_box(8), || ())),
                Contestant::new(Who::Tokio, || TOKIO.sync_scope(black_box(8), || ())),
                Contestant::new(Who::OpenTelemetry, otel),
                Contestant::new(Who::Dcontext, dcontext),
            ]
        },
    );
}

/// What a binding cannot cost less than with this allocator.
fn floor(bench: &mut Bench) {
    bench.row(
        "one allocation of 72 bytes, for comparison",
        1,
        None,
        |_| None,
        || vec![Contestant::new(Who::Bare, || drop(black_box(Box::new(black_box([7_u64; 9])))))],
    );
}

fn binds(bench: &mut Bench, n: usize) {
    let target = match n {
        4 => Some(60.0),
        16 => Some(220.0),
        _ => None,
    };
    bench.row(
        &format!("bind {n} at once, and drop"),
        1,
        None,
        |_| target,
        || {
            vec![
                Contestant::new(Who::Ours, move || drop(black_box(bound(n)))),
                Contestant::new(Who::OpenTelemetry, move || drop(black_box(peers::otel(n)))),
                Contestant::new(Who::Dcontext, move || {
                    let _fresh = peers::dcontext_fresh();
                    peers::dcontext_bind(n);
                }),
            ]
        },
    );
}

fn captures(bench: &mut Bench) {
    bench.row(
        "Context::current, and drop",
        16,
        Some("current"),
        |_| Some(4.0),
        || {
            vec![
                Contestant::new(Who::Ours, || drop(black_box(Context::current()))),
                Contestant::new(Who::OpenTelemetry, || drop(black_box(OtelContext::current()))),
                Contestant::new(Who::Dcontext, || drop(black_box(dcontext::fork()))),
                Contestant::new(Who::Tracing, || drop(black_box(Span::current()))),
            ]
        },
    );
    bench.row(
        "Context::current + run",
        16,
        Some("run"),
        |_| None,
        || {
            vec![
                Contestant::new(Who::Ours, || Context::current().run(|| black_box(()))),
                Contestant::new(Who::OpenTelemetry, || drop(black_box(OtelContext::current().attach()))),
                Contestant::new(Who::Dcontext, || drop(black_box(dcontext::attach_store(dcontext::fork())))),
                Contestant::new(Who::Tracing, || Span::current().in_scope(|| black_box(()))),
            ]
        },
    );
}
