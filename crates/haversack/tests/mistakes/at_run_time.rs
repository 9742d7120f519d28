//! Mistakes that compile. Each function makes one and gives back the text; its documentation and its body are printed
//! beside it, so they are written to be read.

use std::sync::Mutex;

use haversack::testing::{Copies, Fault, missing_paths, tenant};
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use haversack::{
    Boundary, Context, ContextVar, Entry, FutureExt, Keyring, Manifest, SealedFor, Snapshot, manifest, strict,
};

const SOURCE: &str = include_str!("at_run_time.rs");

static LOCALE: ContextVar<&str> = ContextVar::new("locale");
static TRANSACTION: ContextVar<u32> = ContextVar::new("transaction").confined();
static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID, &PRINCIPAL]);
static OUT: Manifest = manifest![TENANT_ID];
static SEALED_FOR: SealedFor<'static> = SealedFor { tenant: "acme", queue: "mail", id: "1" };

type Mistake = (&'static str, fn() -> String);

/// Every function of this file that makes a mistake, in the order of the page.
const MISTAKES: &[Mistake] = &[
    ("read_of_what_nobody_bound", read_of_what_nobody_bound),
    ("read_in_a_bare_thread", read_in_a_bare_thread),
    ("read_beside_a_visit", read_beside_a_visit),
    ("read_of_what_stays", read_of_what_stays),
    ("set_in_no_frame", set_in_no_frame),
    ("reset_elsewhere", reset_elsewhere),
    ("reset_out_of_order", reset_out_of_order),
    ("crossed_resets", crossed_resets),
    ("arrival_without_a_principal", arrival_without_a_principal),
    ("handle_of_another", handle_of_another),
    ("no_door", no_door),
    ("empty_id", empty_id),
    ("left_behind", left_behind),
    ("capture_of_nothing", capture_of_nothing),
    ("another_receiver", another_receiver),
    ("plain_text", plain_text),
    ("bare_task", bare_task),
    ("outlived", outlived),
    ("refusal_swallowed", refusal_swallowed),
    ("requirement_forgotten", requirement_forgotten),
    ("global", global),
];

/// Reading what nobody bound.
fn read_of_what_nobody_bound() -> String {
    let error = tenant("acme").run(|| LOCALE.get()).unwrap_err();
    error.to_string()
}

/// Reading on a thread that was started bare, or in a bare `tokio::spawn`.
fn read_in_a_bare_thread() -> String {
    let thread = LOCALE.sync_scope("de", || std::thread::spawn(|| LOCALE.get()));
    let error = thread.join().unwrap().unwrap_err();
    error.to_string()
}

/// Taking a visit for a guard: it is made, and nothing runs in it. Known in debug builds.
fn read_beside_a_visit() -> String {
    let _visit = tenant("acme");
    let error = TENANT_ID.get().unwrap_err();
    error.to_string()
}

/// Reading, in another task or thread, what its declaration keeps where it is.
fn read_of_what_stays() -> String {
    let thread = TRANSACTION.sync_scope(7, || haversack::thread::spawn(|| TRANSACTION.get()));
    let error = thread.join().unwrap().unwrap_err();
    error.to_string()
}

/// Setting where nothing ends the binding.
fn set_in_no_frame() -> String {
    let error = LOCALE.set("de").unwrap_err();
    error.to_string()
}

/// Resetting in another frame or task than the one that set.
fn reset_elsewhere() -> String {
    let token = Context::empty().run(|| LOCALE.set("de").unwrap());
    let error = Context::empty().run(|| token.reset()).unwrap_err();
    error.to_string()
}

/// Resetting the older of two sets first.
fn reset_out_of_order() -> String {
    let error = Context::empty().run(|| {
        let (older, _newer) = (LOCALE.set("de").unwrap(), LOCALE.set("fr").unwrap());
        older.reset().unwrap_err()
    });
    error.to_string()
}

/// Setting in two branches of a `join!` that share a frame. `.isolated()` gives each its own.
fn crossed_resets() -> String {
    let branch = |locale: &'static str| async move {
        let token = LOCALE.set(locale).unwrap();
        tokio::task::yield_now().await;
        token.reset()
    };
    let both = async { futures_util::join!(branch("de"), branch("fr")) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (first, _second) = runtime.block_on(both.with_context(Context::empty()));
    let error = first.unwrap_err();
    error.to_string()
}

/// Arriving without something that the boundary requires.
fn arrival_without_a_principal() -> String {
    let acme = TenantId::new("acme").unwrap();
    let error = HTTP.enter(|bindings| bindings.bind(&TENANT_ID, acme)).unwrap_err();
    error.to_string()
}

/// Using a handle of one arrival in another, also of the same tenant.
fn handle_of_another() -> String {
    let made_under = tenant("acme").run(|| Entry::current().unwrap());
    let error = tenant("acme").run(|| made_under.check("the mailbox")).unwrap_err();
    error.to_string()
}

/// Asking for the entry where no door was passed.
fn no_door() -> String {
    let error = LOCALE.sync_scope("de", || Entry::current().map(drop)).unwrap_err();
    error.to_string()
}

/// Naming nobody.
fn empty_id() -> String {
    let error = TenantId::new("").unwrap_err();
    error.to_string()
}

/// Reading, in a job, what was bound where the job was submitted and is in no manifest.
fn left_behind() -> String {
    let snapshot = tenant("acme").context().bind(&LOCALE, "de").run(|| OUT.capture().unwrap());
    let visit = snapshot.restore(&OUT, &haversack::testing::BOUNDARY, |bindings| bindings).unwrap();
    let error = visit.run(|| LOCALE.get()).unwrap_err();
    error.to_string()
}

/// Capturing where a required variable is not bound.
fn capture_of_nothing() -> String {
    let error = Context::empty().run(|| OUT.capture()).unwrap_err();
    error.to_string()
}

/// Opening what was sealed for another tenant, queue or job.
fn another_receiver() -> String {
    let keys = Keyring::generate().unwrap();
    let sealed = tenant("acme").run(|| OUT.capture().unwrap()).seal(b"", &keys, &SEALED_FOR).unwrap();
    let other = SealedFor { tenant: "zeta", ..SEALED_FOR };
    let error = Snapshot::open(&sealed, &keys, &other).unwrap_err();
    error.to_string()
}

/// Opening what was never sealed.
fn plain_text() -> String {
    let keys = Keyring::generate().unwrap();
    let error = Snapshot::open(b"{\"tenant\":\"acme\"}", &keys, &SEALED_FOR).unwrap_err();
    error.to_string()
}

static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn reported(work: impl FnOnce()) -> String {
    strict::on_report(|report| REPORTS.lock().unwrap().push(report.to_string()));
    work();
    strict::on_report(strict::log);
    std::mem::take(&mut *REPORTS.lock().unwrap()).remove(0)
}

/// In a debug build: spawning bare on a runtime that is driven inside of a frame.
fn bare_task() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    reported(|| {
        LOCALE.sync_scope("de", || {
            let bare = async { tokio::spawn(async { LOCALE.get() }).await };
            drop(runtime.block_on(bare));
        });
    })
}

/// In a debug build: going on after the visit has ended.
fn outlived() -> String {
    let later = tenant("acme").run(|| haversack::wrap(|| TENANT_ID.get()));
    reported(|| drop(later()))
}

/// In a test: an entry point that goes on after its boundary refused.
fn refusal_swallowed() -> String {
    let entry_point = || async {
        let (acme, kim) = (TenantId::new("acme").unwrap(), Principal::new("kim").unwrap());
        match HTTP.enter(|bindings| bindings.bind(&TENANT_ID, acme).bind(&PRINCIPAL, kim)) {
            Ok(visit) => Ok(visit.run(|| "served")),
            Err(_) => Ok::<_, String>("served as nobody"),
        }
    };
    let check = missing_paths(&HTTP).run(entry_point);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(check).to_string()
}

/// In a test: a boundary that does not require what the work behind it needs.
fn requirement_forgotten() -> String {
    static MAIL: Boundary = Boundary::new("mail");
    let entry_point = || async {
        let visit = MAIL.enter(|bindings| bindings.bind(&LOCALE, "de")).unwrap();
        visit.run(|| LOCALE.get())
    };
    let check = missing_paths(&MAIL).and(&[&LOCALE]).run(entry_point);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(check);
    assert_eq!(report.faults(), [Fault::Late { variable: "locale" }]);
    report.to_string()
}

/// In a test: a value that is kept for everybody.
fn global() -> String {
    static LAST: Mutex<String> = Mutex::new(String::new());
    let crossing = Copies::new(2).first_crossing(|own| async move {
        *LAST.lock().unwrap() = own.value();
        own.step("written").await;
        own.reads("the last one", &LAST.lock().unwrap());
    });
    crossing.unwrap().to_string()
}

/// Every mistake, with its text.
pub(crate) fn sections() -> String {
    let section = |(name, make): &Mistake| {
        let (before, rest) = SOURCE.split_once(&format!("\nfn {name}() -> String {{\n")).unwrap();
        let lines = before.lines().rev().skip_while(|line| line.starts_with("#["));
        let mut about: Vec<&str> = lines.map_while(|line| line.strip_prefix("/// ")).collect();
        about.reverse();
        let body = rest.split("\n}\n").next().unwrap();
        let body: Vec<&str> = body.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        // How the text comes out is no part of the mistake.
        let end = body.iter().rposition(|line| *line != "error.to_string()").map_or(0, |last| last + 1);
        super::section(&about.join(" "), &body[..end].join("\n"), &settled(&make()))
    };
    MISTAKES.iter().map(section).collect()
}

/// A text without what is different at every run: lines of this file, and numbers of entries and keys.
fn settled(text: &str) -> String {
    let text = without_number(text, "crates/haversack/tests/mistakes/at_run_time.rs:", "src/main.rs:");
    let text = without_number(&text, "crates/haversack/src/testing/mod.rs:", "src/main.rs:");
    without_number(&text, "entry ", "entry ")
}

fn without_number(text: &str, prefix: &str, instead: &str) -> String {
    let mut parts = text.split(prefix);
    let mut settled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        let colon =
            if rest.len() < part.len() && part[..part.len() - rest.len()].ends_with(':') { ":" } else { "" };
        let number = if rest.len() < part.len() { "N" } else { "" };
        settled += &format!("{instead}{number}{colon}{rest}");
    }
    settled
}
