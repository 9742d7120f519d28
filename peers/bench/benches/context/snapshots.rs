//! What a snapshot costs: a context of four variables and one kilobyte, with no payload.

use std::hint::black_box;

use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack::{Boundary, Context, ContextVar, Keyring, Manifest, SealedFor, Snapshot, manifest};

use crate::Bench;
use crate::measure::{Contestant, Who};

static DOOR: Boundary = Boundary::new("bench");
static FACTS: ContextVar<Vec<String>> = ContextVar::new("facts").portable(1);
static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, FACTS];

pub(crate) fn rows(bench: &mut Bench) {
    let Some((visit, snapshot, keys, sealed)) = made() else {
        bench.table.note("snapshots: none could be made here");
        return;
    };
    let (snapshot, keys, sealed) = (&snapshot, &keys, &sealed);
    let bytes = sealed.len();
    visit.run(|| {
        let context = Context::current();
        let ours = |operation: &dyn Fn()| context.clone().run(operation);
        bench.row(
            "capture, 4 variables",
            1,
            None,
            |_| None,
            || {
                vec![
                    Contestant::new(Who::Ours, || ours(&|| drop(black_box(OUT.capture())))),
                    Contestant::new(Who::Dcontext, || drop(black_box(dcontext::capture()))),
                ]
            },
        );
        bench.row(
            &format!("seal, {bytes} bytes"),
            1,
            None,
            |_| Some(5000.0),
            || vec![Contestant::new(Who::Ours, || drop(black_box(snapshot.seal(b"", keys, &JOB))))],
        );
        bench.row(
            &format!("open, {bytes} bytes"),
            1,
            None,
            |_| Some(5000.0),
            || vec![Contestant::new(Who::Ours, || drop(black_box(Snapshot::open(sealed, keys, &JOB))))],
        );
        bench.row(
            "restore, 4 variables",
            1,
            None,
            |_| None,
            || {
                vec![Contestant::new(Who::Ours, || {
                    drop(black_box(snapshot.restore(&OUT, &DOOR, |bindings| bindings)));
                })]
            },
        );
    });
}

const JOB: SealedFor<'static> = SealedFor { tenant: "acme", queue: "bench", id: "job" };

fn made() -> Option<(haversack::Visit, Snapshot, Keyring, Vec<u8>)> {
    let (tenant, principal) = (TenantId::new("acme").ok()?, Principal::new("ada").ok()?);
    let session = SessionId::new("session").ok()?;
    let facts = vec!["twenty four characters ..".to_owned(); 21];
    let visit = DOOR.enter(|bindings| {
        bindings
            .bind(&TENANT_ID, tenant)
            .bind(&PRINCIPAL, principal)
            .bind(&SESSION_ID, session)
            .bind(&FACTS, facts)
    });
    let visit = visit.ok()?;
    let snapshot = visit.run(|| OUT.capture()).ok()?;
    let keys = Keyring::generate().ok()?;
    let sealed = snapshot.seal(b"", &keys, &JOB).ok()?;
    Some((visit, snapshot, keys, sealed))
}
