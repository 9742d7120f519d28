//! Memory of a task that waits: what the process holds more once many are parked, by the task. Each contestant is
//! asked in a process of its own, because an allocator keeps what was freed.

use std::future::{Future, pending};
use std::process::Command;

use haversack::{Context, FutureExt};
use opentelemetry::Context as OtelContext;

use crate::measure::{Medians, Who};
use crate::peers::{self, DCONTEXT, Key};
use crate::{Bench, VARS, bound};

const PARKED: u32 = 100_000;
const WORD: &str = "--parked";
const NAME: &str = "bytes a parked task, 4 bound and one of its own";

pub(crate) fn rows(bench: &mut Bench) {
    if bench.only.as_ref().is_some_and(|only| !NAME.contains(only.as_str())) {
        return;
    }
    let mut bytes = Medians::default();
    for who in [Who::Bare, Who::Ours, Who::Tokio, Who::OpenTelemetry, Who::Dcontext] {
        bytes.put(who, ask(who));
    }
    if bytes.of(Who::Ours).is_some() {
        bench.table.row(NAME, bytes, None);
    } else {
        bench.table.note("bytes a parked task: this system does not say what a process holds");
    }
}

fn ask(who: Who) -> Option<f64> {
    let output = Command::new(std::env::current_exe().ok()?).args([WORD, who.name()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Who this process is asked about, if that is what it is for.
pub(crate) fn asked(arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == WORD)?;
    arguments.get(at + 1).cloned()
}

/// Parks the tasks and prints bytes a task.
pub(crate) fn answer(who: &str) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    // What the first task makes the allocator fetch is nobody's.
    runtime.block_on(async { drop(tokio::spawn(async {}).await) });
    let spawn = |own: u64| match who {
        "haversack" => park(pending().with_context(Context::current().bind(&VARS[4], own))),
        "tokio" => park(peers::in_tokio(own, pending())),
        "opentelemetry" => {
            park(peers::in_otel(pending(), OtelContext::current_with_value(Key::<4>(own))));
        }
        "dcontext" => {
            let own = async move {
                dcontext::set_context_variable(DCONTEXT[4], own);
                pending().await
            };
            park(peers::in_dcontext(own));
        }
        _ => park(pending()),
    };
    bound(4).run(|| {
        let _otel = peers::otel(4).attach();
        let _dcontext = peers::dcontext_fresh();
        peers::dcontext_bind(4);
        runtime.block_on(async {
            let before = resident();
            for own in 0..PARKED {
                spawn(u64::from(own));
            }
            // Whoever is spawned first is polled first: once the last one runs, each was polled.
            let _ = tokio::spawn(async {}).await;
            if let (Some(before), Some(after)) = (before, resident()) {
                println!("{}", (after - before) / f64::from(PARKED));
            }
        });
    });
}

fn park(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// Bytes of memory that this process holds, where the system says so.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0)
}
