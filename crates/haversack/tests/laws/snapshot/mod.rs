//! Snapshots: what leaves is declared and sealed, what comes back begins from empty.

mod any;
mod by_hand;
mod golden;
mod manifest;
mod restore;
mod seal;

use haversack::well_known::{PRINCIPAL, Principal, REQUEST_ID, SESSION_ID, TENANT_ID, TenantId};
use haversack::{Bindings, Boundary, ContextVar, Keyring, Manifest, SealedFor, Snapshot, Visit, manifest};

/// Secret, and it travels.
static TOKEN: ContextVar<String> = ContextVar::new("token").portable(1).secret();
static LOCALE: ContextVar<String> = ContextVar::new("locale").portable(1);
/// Not portable.
static LOCAL: ContextVar<u32> = ContextVar::new("local");

static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, REQUEST_ID, LOCALE, TOKEN];
static HTTP: Boundary = Boundary::new("http").requires(&[&TENANT_ID, &PRINCIPAL]);
static WORKER: Boundary = Boundary::new("worker").requires(&[&TENANT_ID, &PRINCIPAL]);

const JOB: SealedFor<'static> = SealedFor { tenant: "acme", queue: "mail", id: "job-1" };

fn ada(bindings: Bindings) -> Bindings {
    bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap()).bind(&PRINCIPAL, Principal::new("ada").unwrap())
}

/// Arrives as Ada of Acme, with what `bind` adds.
fn arrive(bind: impl FnOnce(Bindings) -> Bindings) -> Visit {
    HTTP.enter(|bindings| bind(ada(bindings))).unwrap()
}

/// What `manifest` captures under Ada and what `bind` adds.
fn captured(manifest: &'static Manifest, bind: impl FnOnce(Bindings) -> Bindings) -> Snapshot {
    arrive(bind).run(|| manifest.capture().unwrap())
}

/// There and back, through the seal.
fn through(snapshot: &Snapshot) -> Snapshot {
    let keys = Keyring::generate().unwrap();
    let sealed = snapshot.seal(b"", &keys, &JOB).unwrap();
    Snapshot::open(&sealed, &keys, &JOB).unwrap().0
}

/// Restores through the seal, adds nothing.
fn restored(snapshot: &Snapshot, manifest: &'static Manifest) -> Visit {
    through(snapshot).restore(manifest, &WORKER, |bindings| bindings).unwrap()
}
